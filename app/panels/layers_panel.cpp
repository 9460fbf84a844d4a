// The layers panel: filter, map, table, foot. Map and table show one selection, which the workspace holds.
#include <QApplication>
#include <QClipboard>
#include <QComboBox>
#include <QFileDialog>
#include <QKeyEvent>
#include <QLineEdit>
#include <QMenu>
#include <QSettings>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>

#include "base/files.h"
#include "models/draft_edits.h"
#include "models/layer_settings.h"
#include "models/layer_table_model.h"
#include "models/notebook.h"
#include "models/sensitivities.h"
#include "panels/layer_columns.h"
#include "panels/layer_groups.h"
#include "panels/layer_map.h"
#include "panels/layer_table_view.h"
#include "panels/layers_foot.h"
#include "panels/note_editor.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "panels/paste_settings.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

class LayersPanel : public QWidget {
 public:
  LayersPanel(Workspace& workspace, QWidget* parent)
      : QWidget(parent), workspace_(workspace), model_(workspace, this), proxy_(model_, this) {
    setObjectName("layersPanel");
    setWindowTitle(tr("Layers"));
    auto* column = make_panel_layout(this);
    column->setSpacing(4);
    make_title(column);
    make_filter(column);
    make_map(column);
    make_table(column);
    foot_ = new LayersFoot(this);
    column->addWidget(foot_);
    connect(&model_, &LayerTableModel::refreshed, this, [this] {
      groups_->refresh();
      update_foot();
    });
    connect(&workspace_, &Workspace::selectionChanged, this, [this] { show_selection(); });
    connect(&workspace_, &Workspace::modelOpened, this, [this] {
      controls_->setContext(QString::fromStdString(workspace_.model()->display_name()));
      choose_measure();
      show_selection();
    });
    show_mode(QSettings().value("layers/mode", 2).toInt());
    update_foot();
    for (const auto& [name, what] : std::initializer_list<std::pair<const char*, void (LayersPanel::*)()>>{
             {"noteAsked", &LayersPanel::edit_note},
             {"copySettingsAsked", &LayersPanel::copy_settings_of_current},
             {"pasteSettingsAsked", &LayersPanel::paste_settings}}) {
      // The frame's actions reach the panel by name, as everything does that crosses from one to the other.
      auto* door = new QAction(this);
      door->setObjectName(name);
      connect(door, &QAction::triggered, this, what);
    }
    connect(filter_, &QLineEdit::textChanged, this, [this] { keep_view(); });
    connect(group_, &QComboBox::currentIndexChanged, this, [this] { keep_view(); });
    connect(table_->horizontalHeader(), &QHeaderView::sortIndicatorChanged, this, [this] { keep_view(); });
    connect(&Notebook::of(workspace_), &Notebook::viewsRestored, this, [this] { restore_view(); });
  }

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override {
    if (watched == filter_ && event->type() == QEvent::KeyPress && static_cast<QKeyEvent*>(event)->key() == Qt::Key_Escape) {
      filter_->clear();
      return true;
    }
    return QWidget::eventFilter(watched, event);
  }
  void resizeEvent(QResizeEvent* event) override {
    QWidget::resizeEvent(event);
    // Below 600 px the shape gives way; what the person chose in the menu stays as it is.
    if (!shape_chosen_) table_->setColumnHidden(LayerTableModel::shape, width() < 600);
  }

 private:
  void make_title(QVBoxLayout* column) {
    controls_ = new TitleControls(this);
    mode_ = new SegmentSwitch(tr("What is shown"), controls_);
    mode_->setObjectName("layersMode");
    mode_->addSegment(0, tr("Map"));
    mode_->addSegment(1, tr("Table"));
    mode_->addSegment(2, tr("Both"));
    mode_->on_change = [this](int mode) { show_mode(mode); };
    controls_->add(mode_);
    auto* columns = new IconButton("columns", tr("Columns"), controls_);
    columns->setObjectName("layersColumns");
    connect(columns, &QToolButton::clicked, this, [this, columns] { choose_columns(columns->mapToGlobal(QPoint(0, columns->height()))); });
    controls_->add(columns);
    auto* menu = new QMenu(this);
    menu->addAction(tr("Copy the selected rows"), this, [this] { copy(); });
    menu->addAction(tr("Save as CSV…"), this, [this] { save_csv(); });
    auto* share = new IconButton("export", tr("Copy or save the table"), controls_);
    share->setObjectName("layersExport");
    connect(share, &QToolButton::clicked, this, [share, menu] { menu->popup(share->mapToGlobal(QPoint(0, share->height()))); });
    controls_->add(share);
    column->addWidget(controls_);
  }

  void make_filter(QVBoxLayout* column) {
    filter_ = new QLineEdit(this);
    filter_->setObjectName("layersFilter");
    filter_->setAccessibleName(tr("Filter of layers"));
    filter_->setPlaceholderText(tr("Filter:  down  ·  role:q,k  block:0-3  ·  errB>2  rank=0  ·  /re/"));
    filter_->setToolTip(
        tr("Words, role:q,k  block:0-3  errA errB heldout reduction share weights activations rank bits size with < > =, "
           "is:override  is:pending  has:note  /regex/. Space: and, |: or, !: not."));
    filter_->setClearButtonEnabled(true);
    QAction* earlier = filter_->addAction(themed_icon("more"), QLineEdit::TrailingPosition);
    earlier->setObjectName("layersFilterHistoryAction");
    earlier->setToolTip(tr("Earlier filters"));
    connect(earlier, &QAction::triggered, this, [this] { show_filter_history(); });
    auto* row = new QHBoxLayout;
    row->setSpacing(8);
    row->addWidget(filter_, 1);
    auto* label = make_dim_label(tr("&Group"), this);
    group_ = new QComboBox(this);
    group_->setObjectName("layersGroup");
    group_->setAccessibleName(tr("Group the layers by"));
    group_->addItems({tr("None"), tr("Role"), tr("Block")});
    label->setBuddy(group_);
    row->addWidget(label);
    row->addWidget(group_);
    column->addLayout(row);
    connect(group_, &QComboBox::currentIndexChanged, this, [this] { show_mode(mode_->current()); });
    connect(filter_, &QLineEdit::textChanged, this, [this](const QString& text) { apply_filter(text); });
    connect(filter_, &QLineEdit::editingFinished, this, [this] { remember_filter(); });
    filter_->installEventFilter(this);
  }

  void make_map(QVBoxLayout* column) {
    map_area_ = new QWidget(this);
    auto* area = new QVBoxLayout(map_area_);
    area->setContentsMargins(0, 0, 0, 0);
    area->setSpacing(4);
    auto* row = new QHBoxLayout;
    auto* label = make_dim_label(tr("Colour"), map_area_);
    measure_ = new QComboBox(map_area_);
    measure_->setObjectName("layersMeasure");
    measure_->setAccessibleName(tr("Measure of the map"));
    for (int i = 0; i < LayerMap::measure_count; ++i) measure_->addItem(LayerMap::title(LayerMap::Measure(i)));
    label->setBuddy(measure_);
    map_ = new LayerMap(workspace_, model_, proxy_, map_area_);
    row->addWidget(label);
    row->addWidget(measure_);
    sensitivity_ = make_tool_button("sensitivityButton", {}, tr("Measure the sensitivities"), map_area_);
    row->addWidget(sensitivity_);
    row->addStretch(1);
    row->addWidget(new MapScale(*map_, map_area_));
    Sensitivities& sensitivities = Sensitivities::of(workspace_);
    connect(sensitivity_, &QToolButton::clicked, this, [&sensitivities] {
      if (sensitivities.measuring())
        sensitivities.stop();
      else
        sensitivities.measure();
    });
    connect(&sensitivities, &Sensitivities::changed, this, [this] { show_sensitivity_button(); });
    connect(&sensitivities, &Sensitivities::progress, this, [this] { show_sensitivity_button(); });
    connect(&workspace_, &Workspace::slotsChanged, this, [this] { show_sensitivity_button(); });
    connect(&workspace_, &Workspace::modelOpened, this, [this] { show_sensitivity_button(); });
    area->addLayout(row);
    area->addWidget(map_);
    column->addWidget(map_area_);
    connect(measure_, &QComboBox::activated, this, [this](int index) {
      measure_chosen_ = true;
      map_->setMeasure(LayerMap::Measure(index));
    });
    connect(&model_, &LayerTableModel::refreshed, this, [this] { choose_measure(); });
    connect(map_, &LayerMap::filterAsked, filter_, &QLineEdit::setText);
    connect(map_, &LayerMap::activated, this, [this] { focus_spectrum(); });
  }

  void make_table(QVBoxLayout* column) {
    table_ = new LayerTableView(this);
    table_->setObjectName("layersTable");
    table_->setAccessibleName(tr("Layers"));
    table_->setModel(&proxy_);
    auto* header = new LayerHeader(table_);
    table_->setHorizontalHeader(header);
    table_->setItemDelegate(new LayerDelegate(model_, proxy_, table_));
    table_->verticalHeader()->hide();
    table_->verticalHeader()->setDefaultSectionSize(20);
    table_->verticalHeader()->setMinimumSectionSize(20);
    table_->setShowGrid(false);
    table_->setSelectionBehavior(QAbstractItemView::SelectRows);
    table_->setSelectionMode(QAbstractItemView::ExtendedSelection);
    table_->setEditTriggers(QAbstractItemView::DoubleClicked | QAbstractItemView::EditKeyPressed | QAbstractItemView::AnyKeyPressed);
    table_->setHorizontalScrollMode(QAbstractItemView::ScrollPerPixel);
    table_->setMinimumSize(160, 80);
    table_->setTabKeyNavigation(false);
    table_->setSortingEnabled(true);
    proxy_.sort(-1);
    header->setSortIndicator(-1, Qt::DescendingOrder);
    set_up_columns(*table_);
    shape_chosen_ = QSettings().contains("layers/hidden");
    column->addWidget(table_, 1);
    groups_ = new LayerGroups(workspace_, model_, proxy_, this);
    column->addWidget(groups_, 1);
    groups_->hide();
    connect(groups_, &LayerGroups::layerActivated, this, [this] { focus_spectrum(); });
    table_->setContextMenuPolicy(Qt::CustomContextMenu);
    connect(table_, &QTableView::customContextMenuRequested, this, [this](const QPoint& at) { show_menu(at); });
    connect(table_, &LayerTableView::noteAsked, this, [this] { edit_note(); });

    connect(table_->selectionModel(), &QItemSelectionModel::selectionChanged, this, [this] { take_selection(); });
    connect(table_->selectionModel(), &QItemSelectionModel::currentChanged, this, [this] { take_selection(); });
    connect(&proxy_, &QAbstractItemModel::layoutChanged, this, [this] { show_selection(); });
    connect(table_, &LayerTableView::copyAsked, this, [this] { copy(); });
    connect(table_, &LayerTableView::layerActivated, this, [this] { focus_spectrum(); });
    connect(table_, &QTableView::doubleClicked, this, [this](const QModelIndex& index) {
      if (!(index.flags() & Qt::ItemIsEditable)) focus_spectrum();
    });
    connect(table_, &LayerTableView::resetAsked, this, [this] { reset_selected(); });
    connect(table_, &LayerTableView::measureAsked, this, [this](int measure) {
      if (measure >= measure_->count()) return;
      measure_->setCurrentIndex(measure);
      emit measure_->activated(measure);
    });
    connect(table_, &LayerTableView::editAsked, this, [this](int edited) {
      const QModelIndex cell = table_->currentIndex().siblingAtColumn(edited);
      if (cell.isValid()) table_->edit(cell);
    });
    connect(table_, &LayerTableView::stepAsked, this, [this](int blocks, int roles) { step(blocks, roles); });
  }

  /// Measures the Sens. column; while it does, stops it; gone when the column is known.
  void show_sensitivity_button() {
    const Sensitivities& sensitivities = Sensitivities::of(workspace_);
    sensitivity_->setVisible(workspace_.hasModel() && !sensitivities.isMeasured());
    if (const auto measuring = sensitivities.measuring()) {
      sensitivity_->setText(tr("Sens. %1 of %2  ■").arg(measuring->done).arg(measuring->total));
      sensitivity_->setToolTip(tr("Stop measuring"));
      return;
    }
    const auto seconds = sensitivities.expectedSeconds();
    sensitivity_->setText(seconds ? tr("Sens., ≈ %1").arg(format_duration(*seconds)) : tr("Sens."));
    sensitivity_->setToolTip(tr("Measures what each layer alone does to the model’s output (KL): one short pass a layer"));
  }

  void show_mode(int mode) {
    mode = std::clamp(mode, 0, 2);
    mode_->setCurrent(mode);
    map_area_->setVisible(mode != 1);
    const bool grouped = group_->currentIndex() > 0;
    table_->setVisible(mode != 0 && !grouped);
    groups_->setVisible(mode != 0 && grouped);
    if (grouped) groups_->setBy(group_->currentIndex() == 1 ? LayerGroups::By::role : LayerGroups::By::block);
    QSettings().setValue("layers/mode", mode);
  }

  /// Before any run no error is known: the map shows what is.
  void choose_measure() {
    if (measure_chosen_) return;
    const LayerMap::Measure measure = map_->hasValues(LayerMap::error_b) ? LayerMap::error_b : LayerMap::size;
    if (map_->measure() == measure && measure_->currentIndex() == measure) return;
    measure_->setCurrentIndex(measure);
    map_->setMeasure(measure);
  }

  void apply_filter(const QString& text) {
    const LayerFilter filter = LayerFilter::parse(text);
    // The style sheet of the theme tints these states.
    filter_->setProperty("filter", text.trimmed().isEmpty() ? QString() : filter.valid() ? QString("valid") : QString("invalid"));
    filter_->style()->unpolish(filter_);
    filter_->style()->polish(filter_);
    problem_ = filter.valid() ? QString() : tr("column %1: %2").arg(filter.problem_column()).arg(filter.problem());
    // Rows that the filter hides stay selected.
    showing_ = true;
    proxy_.setFilter(filter);
    showing_ = false;
    map_->update();
    if (filter.valid()) groups_->refresh();
    show_selection();
  }

  void update_foot() {
    const int all = model_.rowCount(), shown = proxy_.rowCount();
    int overrides = 0, pending = 0;
    for (const LayerRow& row : model_.rows()) {
      overrides += row.facts.has_override;
      pending += row.facts.pending;
    }
    const auto selected = workspace_.selectedLayers().size();
    foot_->say(problem_.isEmpty() ? tr("%1 of %2 layers, %3 selected").arg(shown).arg(all).arg(selected) : problem_, overrides, pending);
  }

  void take_selection() {
    if (showing_) return;
    std::vector<int> layers;
    for (const QModelIndex& index : table_->selectionModel()->selectedRows()) layers.push_back(proxy_.mapToSource(index).row());
    const QModelIndex current = table_->currentIndex();
    workspace_.selectLayers(layers, current.isValid() ? proxy_.mapToSource(current).row() : -1);
  }

  void show_selection() {
    const bool before = std::exchange(showing_, true);
    QItemSelection selection;
    for (const int layer : workspace_.selectedLayers()) {
      const QModelIndex index = proxy_.mapFromSource(model_.index(layer, 0));
      if (index.isValid()) selection.select(index, index.siblingAtColumn(LayerTableModel::column_count - 1));
    }
    table_->selectionModel()->select(selection, QItemSelectionModel::ClearAndSelect);
    if (workspace_.currentLayer() >= 0) {
      const int column_now = table_->currentIndex().isValid() ? table_->currentIndex().column() : int(LayerTableModel::layer);
      const QModelIndex current = proxy_.mapFromSource(model_.index(workspace_.currentLayer(), column_now));
      if (current.isValid() && current != table_->currentIndex()) {
        table_->selectionModel()->setCurrentIndex(current, QItemSelectionModel::NoUpdate);
        table_->scrollTo(current);
      }
    }
    showing_ = before;
    groups_->showSelection();
    update_foot();
  }

  void step(int blocks, int roles) {
    const int current = workspace_.currentLayer();
    if (current < 0) return;
    const auto& layers = workspace_.model()->layers();
    const LayerInfo& now = layers[std::size_t(current)];
    for (std::size_t i = 0; i < layers.size(); ++i)
      if (int(layers[i].block) == int(now.block) + blocks && int(layers[i].role) == int(now.role) + roles)
        workspace_.selectLayers({int(i)}, int(i));
  }

  void reset_selected() {
    const auto& layers = workspace_.selectedLayers();
    if (layers.empty()) return;
    workspace_.editDraft(tr("Reset %1").arg(QString::fromStdString(describe_layers(*workspace_.model(), layers))),
                         without_own_settings(workspace_.draft(), *workspace_.model(), layers));
  }

  // ---- Notes, settings, filters

  void edit_note() {
    const int current = workspace_.currentLayer();
    if (current < 0) return;
    const LayerInfo& layer = workspace_.model()->layers()[std::size_t(current)];
    const QString name = QString::fromStdString(layer.name);
    const QModelIndex cell = proxy_.mapFromSource(model_.index(current, LayerTableModel::layer));
    const QPoint at = cell.isValid() && table_->isVisible() ? table_->viewport()->mapToGlobal(table_->visualRect(cell).bottomLeft())
                                                            : mapToGlobal(QPoint(16, 60));
    Notebook& notebook = Notebook::of(workspace_);
    NoteEditor::open(this, at, tr("Note on %1").arg(QString::fromStdString(short_name(layer))), notebook.layerNote(name),
                     [&notebook, name](const QString& text) { notebook.setLayerNote(name, text); });
  }

  void copy_settings_of_current() {
    if (workspace_.currentLayer() < 0) return;
    try {
      copied_ = copy_settings(workspace_.draft(), *workspace_.model(), workspace_.currentLayer());
      workspace_.log(LogLevel::info, tr("Settings of %1 copied; Ctrl+Shift+V gives them to other layers").arg(copied_->from));
    } catch (const Error& error) {
      workspace_.log(LogLevel::warning, QString::fromUtf8(error.what()));
    }
  }

  void paste_settings() {
    if (!copied_ || workspace_.selectedLayers().empty()) return;
    auto* form = new PasteSettings(workspace_, *copied_, this);
    form->move(table_->mapToGlobal(QPoint(40, 40)));
    form->show();
  }

  void show_menu(const QPoint& at) {
    const QModelIndex cell = table_->indexAt(at);
    if (!cell.isValid()) return;
    const LayerRow& row = model_.row(proxy_.mapToSource(cell).row());
    auto* menu = new QMenu(this);
    menu->setObjectName("layersMenu");
    menu->setAttribute(Qt::WA_DeleteOnClose);
    const auto filter_by = [this](const QString& text) {
      filter_->setText(text);
      remember_filter();
    };
    const QString role = short_role(row.facts.role);
    menu->addAction(tr("Filter: role = %1").arg(role), this, [=] { filter_by("role:" + role); });
    menu->addAction(tr("Filter: block = %1").arg(row.facts.block), this,
                    [=, block = row.facts.block] { filter_by(QString("block:%1").arg(block)); });
    if (!std::isnan(row.facts.rank))
      menu->addAction(tr("Filter: rank = %1").arg(row.facts.rank), this,
                      [=, rank = row.facts.rank] { filter_by(QString("rank=%1").arg(rank)); });
    if (!std::isnan(row.facts.error_b))
      menu->addAction(tr("Filter: error of B ≥ %1 %").arg(row.facts.error_b, 0, 'g', 3), this,
                      [=, error = row.facts.error_b] { filter_by(QString("errB>=%1").arg(std::floor(error * 1000) / 1000, 0, 'f', 3)); });
    menu->addSeparator();
    for (const char* name :
         {"selectRoleAction", "selectBlockAction", "copySettingsAction", "pasteSettingsAction", "noteAction", "resetLayersAction"})
      if (auto* action = window()->findChild<QAction*>(name)) menu->addAction(action);
    menu->popup(table_->viewport()->mapToGlobal(at));
  }

  void remember_filter() {
    const QString text = filter_->text().trimmed();
    if (text.isEmpty() || !problem_.isEmpty()) return;
    QStringList earlier = QSettings().value("layers/filters").toStringList();
    earlier.removeAll(text);
    earlier.prepend(text);
    while (earlier.size() > 20) earlier.removeLast();
    QSettings().setValue("layers/filters", earlier);
  }

  void show_filter_history() {
    auto* menu = new QMenu(this);
    menu->setObjectName("layersFilterHistory");
    menu->setAttribute(Qt::WA_DeleteOnClose);
    const QStringList earlier = QSettings().value("layers/filters").toStringList();
    for (const QString& text : earlier) menu->addAction(text, this, [this, text] { filter_->setText(text); });
    if (!earlier.isEmpty()) menu->addSeparator();
    for (const char* text : {"is:override", "is:pending", "has:note", "errB>2", "reduction<20", "role:down"})
      menu->addAction(text, this, [this, text] { filter_->setText(text); });
    menu->popup(filter_->mapToGlobal(QPoint(filter_->width() - menu->sizeHint().width(), filter_->height())));
  }

  void keep_view() {
    const auto order = table_->horizontalHeader()->sortIndicatorOrder() == Qt::DescendingOrder;
    Notebook::of(workspace_)
        .setView("layers", {{"filter", filter_->text().toStdString()},
                            {"group", group_->currentIndex()},
                            {"sort", table_->horizontalHeader()->sortIndicatorSection()},
                            {"descending", order}});
  }

  void restore_view() {
    const Json view = Notebook::of(workspace_).view("layers");
    if (!view.is_object()) return;
    const auto number = [&](const char* key, int otherwise) {
      const auto found = view.find(key);
      return found != view.end() && found->is_number_integer() ? found->get<int>() : otherwise;
    };
    if (const auto text = view.find("filter"); text != view.end() && text->is_string())
      filter_->setText(QString::fromStdString(text->get<std::string>()));
    group_->setCurrentIndex(std::clamp(number("group", 0), 0, 2));
    const auto descending = view.find("descending");
    const int column = number("sort", -1);
    if (column >= -1 && column < LayerTableModel::column_count)
      table_->sortByColumn(column, descending != view.end() && descending->is_boolean() && descending->get<bool>() ? Qt::DescendingOrder
                                                                                                                   : Qt::AscendingOrder);
  }

  void focus_spectrum() {
    if (QWidget* plot = window()->findChild<QWidget*>("rankPlot")) plot->setFocus(Qt::OtherFocusReason);
  }

  std::vector<int> visible_columns() const {
    std::vector<int> columns;
    for (int visual = 0; visual < LayerTableModel::column_count; ++visual)
      if (const int logical = table_->horizontalHeader()->logicalIndex(visual); !table_->isColumnHidden(logical))
        columns.push_back(logical);
    return columns;
  }

  std::vector<int> rows_in_order(bool selected_only) const {
    std::vector<int> rows;
    for (int i = 0; i < proxy_.rowCount(); ++i)
      if (!selected_only || table_->selectionModel()->isRowSelected(i)) rows.push_back(proxy_.mapToSource(proxy_.index(i, 0)).row());
    return rows;
  }

  void copy() { QApplication::clipboard()->setText(model_.as_tsv(rows_in_order(true), visible_columns())); }

  void save_csv() {
    const QString file = QFileDialog::getSaveFileName(this, tr("Save the table"), "layers.csv", tr("CSV (*.csv)"));
    if (file.isEmpty()) return;
    QString text = model_.as_tsv(rows_in_order(false), visible_columns());
    try {
      write_file_atomically(file.toStdString(), text.replace('\t', ',').toStdString());
      workspace_.log(LogLevel::info, tr("Table saved as %1").arg(file));
    } catch (const Error& error) {
      workspace_.banner(QString::fromUtf8(error.what()));
    }
  }

  void choose_columns(const QPoint& at) {
    ask_for_columns(*table_, model_, at, [this] { shape_chosen_ = true; });
  }

  Workspace& workspace_;
  LayerTableModel model_;
  LayerProxy proxy_;
  TitleControls* controls_ = nullptr;
  SegmentSwitch* mode_ = nullptr;
  QLineEdit* filter_ = nullptr;
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
  bool showing_ = false, measure_chosen_ = false, shape_chosen_ = false;
};

}  // namespace

QWidget* make_layers_panel(Workspace& workspace, QWidget* parent) { return new LayersPanel(workspace, parent); }

}  // namespace lrc::app
