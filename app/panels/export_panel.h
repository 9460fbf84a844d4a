#pragma once
// The export panel's own parts: what it is made of (export_panel_layout.cpp), what it does (export_panel.cpp).
#include <QWidget>
#include <map>
#include <optional>

#include "models/export_check.h"
#include "panels/export_targets.h"
#include "workspace.h"

class QComboBox;
class QHBoxLayout;
class QLabel;
class QLineEdit;
class QProgressBar;
class QPushButton;
class QVBoxLayout;

namespace lrc::app {

class ExportSizes;
class Notice;
class TitleControls;

class ExportPanel : public QWidget {
 public:
  ExportPanel(Workspace& workspace, QWidget* parent);

 protected:
  void changeEvent(QEvent* event) override;

 private:
  void buildTargets(QHBoxLayout* columns);
  void buildMiddle(QHBoxLayout* columns);
  void buildResult(QHBoxLayout* columns);
  void check();        ///< asks for the preflight of every target
  void show();         ///< of the target chosen
  void showChoices();  ///< the best runs, where B is the original
  void showRoom(const ExportForecast* forecast);
  void showOutcome();
  void fix();
  void write();
  void followFolder();
  ExportOptions options() const;
  const Exporter* target() const { return targets_->current(); }
  const Preflight* preflight() const;
  const ExportResult* outcome() const;                   ///< of B and the target; null when it was not written here
  int filesThere(const ExportForecast& forecast) const;  ///< of the folder, that writing would replace
  bool showFixing();                                     ///< the run that mends the refusals is on its way
  std::optional<Recipe> fixedRecipe() const;             ///< B's, with what refuses taken out; nothing where this model cannot be solved so

  Workspace& workspace_;
  TitleControls* controls_;
  Notice* empty_;
  QWidget* choices_;
  QVBoxLayout* choices_layout_;
  QWidget* body_;
  ExportTargets* targets_;
  QLabel *heading_, *consumers_, *computes_title_, *size_, *space_, *why_not_, *verify_title_;
  Notice* verdict_;
  QWidget* checks_;
  QVBoxLayout* checks_layout_;
  QLabel* computes_;
  QLabel* verified_;
  QComboBox *base_type_, *pad_;
  QWidget* options_;
  QLineEdit* folder_;
  QPushButton *export_, *stop_, *open_folder_, *copy_;
  QProgressBar* progress_;
  ExportSizes* parts_;
  QLabel *files_, *command_title_;
  QLineEdit* command_;
  std::map<std::string, Preflight> preflights_;
  /// The last one that was written, shown beside the run and the target that it is of.
  struct Written {
    int run;
    const Exporter* target;
    ExportResult result;
  };
  std::optional<Written> written_;
  int fixing_ = 0;
  bool writing_ = false, short_of_room_ = false;
};

}  // namespace lrc::app
