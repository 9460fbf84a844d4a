#pragma once
// The layers panel's own parts: what it is made of and its selection (layers_panel.cpp), what is kept, copied and asked of it
// (layers_tools.cpp).
#include <QComboBox>
#include <QVBoxLayout>
#include <optional>
#include <vector>

#include "models/layer_settings.h"
#include "models/layer_table_model.h"
#include "panels/panel_widgets.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

class LayerGroups;
class LayerMap;
class LayerTableView;
class LayersFoot;

class LayersPanel : public QWidget {
 public:
  LayersPanel(Workspace& workspace, QWidget* parent);

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;

 private:
  void make_title(QVBoxLayout* column);
  void make_filter(QVBoxLayout* column);
  void make_map(QVBoxLayout* column);
  void make_table(QVBoxLayout* column);
  /// Measures the Sens. column; while it does, stops it; gone when the column is known.
  void show_sensitivity_button();
  /// Below 600 px the shape gives way, and the sensitivity while it says nothing.
  void fit_columns();
  void show_mode(int mode);
  /// Before any run no error is known: the map shows what is.
  void choose_measure();
  void apply_filter(const QString& text);
  void update_foot();
  void take_selection();
  void show_selection();
  void step(int blocks, int roles);
  void reset_selected();
  void edit_note();
  void copy_settings_of_current();
  void paste_settings();
  void show_menu(const QPoint& at);
  void remember_filter();
  void show_filter_history();
  void keep_view();
  void restore_view();
  void focus_spectrum();
  std::vector<int> visible_columns() const;
  std::vector<int> rows_in_order(bool selected_only) const;
  void copy();
  void save_csv();
  void choose_columns(const QPoint& at);

  Workspace& workspace_;
  LayerTableModel model_;
  LayerProxy proxy_;
  TitleControls* controls_ = nullptr;
  SegmentSwitch* mode_ = nullptr;
  FilterField* filter_ = nullptr;
  QComboBox* group_ = nullptr;
  LayerGroups* groups_ = nullptr;
  std::optional<CopiedSettings> copied_;
  QWidget* map_area_ = nullptr;
  QComboBox* measure_ = nullptr;
  QToolButton* sensitivity_ = nullptr;
  LayerMap* map_ = nullptr;
  LayerTableView* table_ = nullptr;
  LayersFoot* foot_ = nullptr;
  QString problem_;
  bool showing_ = false, measure_chosen_ = false, columns_chosen_ = false;
};

}  // namespace lrc::app
