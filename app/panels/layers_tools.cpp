// What the layers panel is asked for: filters and their history, notes, copied settings, the table as text, its view in the session.
#include <QApplication>
#include <QClipboard>
#include <QFileDialog>
#include <QMenu>
#include <QSettings>
#include <cmath>

#include "base/files.h"
#include "models/draft_edits.h"
#include "models/notebook.h"
#include "panels/layer_columns.h"
#include "panels/layer_groups.h"
#include "panels/layer_map.h"
#include "panels/layer_table_view.h"
#include "panels/layers_panel.h"
#include "panels/note_editor.h"
#include "panels/paste_settings.h"
#include "plot_style.h"

namespace lrc::app {

void LayersPanel::apply_filter(const QString& text) {
  const LayerFilter filter = LayerFilter::parse(text);
  using State = FilterField::State;
  filter_->setState(text.trimmed().isEmpty() ? State::plain : filter.valid() ? State::valid : State::invalid);
  problem_ = filter.valid() ? QString() : tr("column %1: %2").arg(filter.problem_column()).arg(filter.problem());
  // Rows that the filter hides stay selected.
  showing_ = true;
  proxy_.setFilter(filter);
  showing_ = false;
  map_->update();
  if (filter.valid()) groups_->refresh();
  show_selection();
}

void LayersPanel::edit_note() {
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

void LayersPanel::copy_settings_of_current() {
  if (workspace_.currentLayer() < 0) return;
  try {
    copied_ = copy_settings(workspace_.draft(), *workspace_.model(), workspace_.currentLayer());
    workspace_.log(LogLevel::info, tr("Settings of %1 copied; Ctrl+Shift+V gives them to other layers").arg(copied_->from));
  } catch (const Error& error) {
    workspace_.log(LogLevel::warning, QString::fromUtf8(error.what()));
  }
}

void LayersPanel::paste_settings() {
  if (!copied_ || workspace_.selectedLayers().empty()) return;
  auto* form = new PasteSettings(workspace_, *copied_, this);
  form->move(table_->mapToGlobal(QPoint(40, 40)));
  form->show();
}

void LayersPanel::show_menu(const QPoint& at) {
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

void LayersPanel::remember_filter() {
  const QString text = filter_->text().trimmed();
  if (text.isEmpty() || !problem_.isEmpty()) return;
  QStringList earlier = QSettings().value("layers/filters").toStringList();
  earlier.removeAll(text);
  earlier.prepend(text);
  while (earlier.size() > 20) earlier.removeLast();
  QSettings().setValue("layers/filters", earlier);
}

void LayersPanel::show_filter_history() {
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

void LayersPanel::keep_view() {
  const auto order = table_->horizontalHeader()->sortIndicatorOrder() == Qt::DescendingOrder;
  Notebook::of(workspace_)
      .setView("layers", {{"filter", filter_->text().toStdString()},
                          {"group", group_->currentIndex()},
                          {"sort", table_->horizontalHeader()->sortIndicatorSection()},
                          {"descending", order}});
}

void LayersPanel::restore_view() {
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
    table_->sortByColumn(
        column, descending != view.end() && descending->is_boolean() && descending->get<bool>() ? Qt::DescendingOrder : Qt::AscendingOrder);
}

std::vector<int> LayersPanel::visible_columns() const {
  std::vector<int> columns;
  for (int visual = 0; visual < LayerTableModel::column_count; ++visual)
    if (const int logical = table_->horizontalHeader()->logicalIndex(visual); !table_->isColumnHidden(logical)) columns.push_back(logical);
  return columns;
}

std::vector<int> LayersPanel::rows_in_order(bool selected_only) const {
  std::vector<int> rows;
  for (int i = 0; i < proxy_.rowCount(); ++i)
    if (!selected_only || table_->selectionModel()->isRowSelected(i)) rows.push_back(proxy_.mapToSource(proxy_.index(i, 0)).row());
  return rows;
}

void LayersPanel::copy() { QApplication::clipboard()->setText(model_.as_tsv(rows_in_order(true), visible_columns())); }

void LayersPanel::save_csv() {
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

void LayersPanel::choose_columns(const QPoint& at) {
  ask_for_columns(*table_, model_, at, [this] { columns_chosen_ = true; });
}

}  // namespace lrc::app
