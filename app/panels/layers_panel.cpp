// The layers panel: filter, map, table, foot. Map and table show one selection, which the workspace holds.
#include "panels/layers_panel.h"

#include <QKeyEvent>
#include <QSettings>
#include <algorithm>

#include "models/draft_edits.h"
#include "models/notebook.h"
#include "models/sensitivities.h"
#include "panels/colour_scale.h"
#include "panels/layer_columns.h"
#include "panels/layer_groups.h"
#include "panels/layer_map.h"
#include "panels/layer_table_view.h"
#include "panels/layers_foot.h"
#include "panels/panels.h"
#include "plot_style.h"
#include "widgets.h"

namespace lrc::app {

LayersPanel::LayersPanel(Workspace& workspace, QWidget* parent)
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
  for (const auto& [name, what] :
       std::initializer_list<std::pair<const char*, void (LayersPanel::*)()>>{{"noteAsked", &LayersPanel::edit_note},
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

bool LayersPanel::eventFilter(QObject* watched, QEvent* event) {
  if (watched == filter_ && event->type() == QEvent::KeyPress && static_cast<QKeyEvent*>(event)->key() == Qt::Key_Escape) {
    filter_->clear();
    return true;
  }
  return QWidget::eventFilter(watched, event);
}

void LayersPanel::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  fit_columns();
}

void LayersPanel::make_title(QVBoxLayout* column) {
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

void LayersPanel::make_filter(QVBoxLayout* column) {
  filter_ = new FilterField(this);
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
  // Enter: what is found is what the next keys are for (Ctrl+A, R, B, N).
  connect(filter_, &QLineEdit::returnPressed, this, [this] {
    if (proxy_.rowCount() > 0) (groups_->isVisible() ? static_cast<QWidget*>(groups_) : table_)->setFocus(Qt::OtherFocusReason);
  });
}

void LayersPanel::make_map(QVBoxLayout* column) {
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
  sensitivity_->setAutoRaise(false);  // it starts work: it must look like a button
  row->addWidget(sensitivity_);
  row->addStretch(1);
  auto* scale = new ColourScale(map_area_);
  row->addWidget(scale);
  connect(map_, &LayerMap::scaleChanged, scale, [this, scale] {
    const auto [low, high] = map_->scaleTexts();
    scale->show_range(low, high);
  });
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

void LayersPanel::make_table(QVBoxLayout* column) {
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
  columns_chosen_ = QSettings().contains("layers/hidden");
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

void LayersPanel::show_sensitivity_button() {
  const Sensitivities& sensitivities = Sensitivities::of(workspace_);
  sensitivity_->setVisible(workspace_.hasModel() && !sensitivities.isMeasured());
  fit_columns();
  if (const auto measuring = sensitivities.measuring()) {
    sensitivity_->setText(tr("Sens. %1 of %2  ■").arg(measuring->done).arg(measuring->total));
    sensitivity_->setToolTip(tr("Stop measuring"));
    return;
  }
  const auto seconds = sensitivities.expectedSeconds();
  sensitivity_->setText(seconds ? tr("Sens., ≈ %1").arg(format_duration(*seconds)) : tr("Sens."));
  sensitivity_->setToolTip(tr("Measures what each layer alone does to the model’s output (KL): one short pass a layer"));
}

void LayersPanel::fit_columns() {
  // What the person chose in the menu stays as it is.
  if (columns_chosen_) return;
  const bool narrow = width() < 600;
  table_->setColumnHidden(LayerTableModel::shape, narrow);
  table_->setColumnHidden(LayerTableModel::sensitivity, narrow && !Sensitivities::of(workspace_).isMeasured());
}

void LayersPanel::show_mode(int mode) {
  mode = std::clamp(mode, 0, 2);
  mode_->setCurrent(mode);
  map_area_->setVisible(mode != 1);
  const bool grouped = group_->currentIndex() > 0;
  table_->setVisible(mode != 0 && !grouped);
  groups_->setVisible(mode != 0 && grouped);
  if (grouped) groups_->setBy(group_->currentIndex() == 1 ? LayerGroups::By::role : LayerGroups::By::block);
  QSettings().setValue("layers/mode", mode);
}

void LayersPanel::choose_measure() {
  if (measure_chosen_) return;
  const LayerMap::Measure measure = map_->hasValues(LayerMap::error_b)        ? LayerMap::error_b
                                    : map_->hasValues(LayerMap::weights_only) ? LayerMap::weights_only
                                                                              : LayerMap::size;
  if (map_->measure() == measure && measure_->currentIndex() == measure) return;
  measure_->setCurrentIndex(measure);
  map_->setMeasure(measure);
}

void LayersPanel::update_foot() {
  const int all = model_.rowCount(), shown = proxy_.rowCount();
  int overrides = 0, pending = 0;
  for (const LayerRow& row : model_.rows()) {
    overrides += row.facts.has_override;
    pending += row.facts.pending;
  }
  const auto selected = workspace_.selectedLayers().size();
  foot_->say(problem_.isEmpty() ? tr("%1 of %2 layers, %3 selected").arg(shown).arg(all).arg(selected) : problem_, overrides, pending);
}

void LayersPanel::take_selection() {
  if (showing_) return;
  std::vector<int> layers;
  for (const QModelIndex& index : table_->selectionModel()->selectedRows()) layers.push_back(proxy_.mapToSource(index).row());
  const QModelIndex current = table_->currentIndex();
  workspace_.selectLayers(layers, current.isValid() ? proxy_.mapToSource(current).row() : -1);
}

void LayersPanel::show_selection() {
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

void LayersPanel::step(int blocks, int roles) {
  const int current = workspace_.currentLayer();
  if (current < 0) return;
  const auto& layers = workspace_.model()->layers();
  const LayerInfo& now = layers[std::size_t(current)];
  for (std::size_t i = 0; i < layers.size(); ++i)
    if (int(layers[i].block) == int(now.block) + blocks && int(layers[i].role) == int(now.role) + roles)
      workspace_.selectLayers({int(i)}, int(i));
}

void LayersPanel::reset_selected() {
  const auto& layers = workspace_.selectedLayers();
  if (layers.empty()) return;
  workspace_.editDraft(tr("Reset %1").arg(QString::fromStdString(describe_layers(*workspace_.model(), layers))),
                       without_own_settings(workspace_.draft(), *workspace_.model(), layers));
}

void LayersPanel::focus_spectrum() {
  if (QWidget* plot = window()->findChild<QWidget*>("rankPlot")) plot->setFocus(Qt::OtherFocusReason);
}

QWidget* make_layers_panel(Workspace& workspace, QWidget* parent) { return new LayersPanel(workspace, parent); }

}  // namespace lrc::app
