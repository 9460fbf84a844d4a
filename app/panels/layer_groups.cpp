#include "panels/layer_groups.h"

#include <QHeaderView>
#include <QKeyEvent>
#include <cmath>
#include <map>

#include "models/draft_edits.h"
#include "plot_style.h"

namespace lrc::app {

namespace {

constexpr int layer_role = Qt::UserRole, value_role = Qt::UserRole + 1;

/// Sorts by value where a column holds numbers.
class Item : public QTreeWidgetItem {
 public:
  using QTreeWidgetItem::QTreeWidgetItem;
  bool operator<(const QTreeWidgetItem& other) const override {
    const int column = treeWidget() ? treeWidget()->sortColumn() : 0;
    const QVariant a = data(column, value_role), b = other.data(column, value_role);
    if (!a.isValid() || !b.isValid()) return QTreeWidgetItem::operator<(other);
    return a.toDouble() < b.toDouble();
  }
  void put(int column, double value, const QString& text) {
    setData(column, value_role, std::isnan(value) ? -1.0 : value);
    setText(column, std::isnan(value) ? QStringLiteral("–") : text);
    setTextAlignment(column, Qt::AlignRight | Qt::AlignVCenter);
  }
};

}  // namespace

LayerGroups::LayerGroups(Workspace& workspace, LayerTableModel& model, LayerProxy& proxy, QWidget* parent)
    : QTreeWidget(parent), workspace_(workspace), model_(model), proxy_(proxy) {
  setObjectName("layersGroups");
  setAccessibleName(tr("Layers by group"));
  setColumnCount(column_count);
  setHeaderLabels({tr("Group"), tr("Layers"), tr("Mean B, %"), tr("Worst B, %"), tr("Rank"), tr("b/w"), tr("MB")});
  for (int column = 1; column < column_count; ++column) headerItem()->setTextAlignment(column, Qt::AlignRight | Qt::AlignVCenter);
  setSelectionMode(QAbstractItemView::ExtendedSelection);
  setAllColumnsShowFocus(true);
  setAlternatingRowColors(true);
  setUniformRowHeights(true);
  setSortingEnabled(true);
  sortByColumn(name, Qt::AscendingOrder);
  header()->setSectionResizeMode(QHeaderView::ResizeToContents);
  header()->setSectionResizeMode(name, QHeaderView::Stretch);
  header()->setStretchLastSection(false);
  connect(this, &QTreeWidget::itemSelectionChanged, this, &LayerGroups::take);
  connect(this, &QTreeWidget::itemDoubleClicked, this, [this](QTreeWidgetItem* item) {
    if (item->data(0, layer_role).isValid()) emit layerActivated();
  });
}

void LayerGroups::setBy(By by) {
  by_ = by;
  refresh();
}

void LayerGroups::refresh() {
  if (!isVisibleTo(parentWidget())) return;
  showing_ = true;
  // What was open stays open.
  QSet<QString> open;
  for (int i = 0; i < topLevelItemCount(); ++i)
    if (topLevelItem(i)->isExpanded()) open.insert(topLevelItem(i)->text(name));
  setSortingEnabled(false);
  clear();
  struct Group {
    QString title;
    std::vector<int> layers;
  };
  std::map<int, Group> groups;
  for (int row = 0; row < proxy_.rowCount(); ++row) {
    const int layer = proxy_.mapToSource(proxy_.index(row, 0)).row();
    const LayerInfo& info = workspace_.model()->layers()[std::size_t(layer)];
    const int key = by_ == By::role ? int(info.role) : int(info.block);
    Group& group = groups[key];
    group.title = by_ == By::role ? model_.row(layer).facts.role : tr("block %1").arg(info.block);
    group.layers.push_back(layer);
  }
  const Colours& c = colours();
  for (auto& [key, group] : groups) {
    auto* head = new Item(this);
    double sum = 0, worst = 0, bits = 0, weights = 0, least = 1e9, most = 0;
    int solved = 0;
    std::sort(group.layers.begin(), group.layers.end());
    for (const int layer : group.layers) {
      const LayerRow& row = model_.row(layer);
      const double count = double(row.out_features) * double(row.in_features);
      const double stored = row.scheme ? double(row.size.code_bits + row.size.scale_bits + row.size.factor_bits) : 16 * count;
      if (!std::isnan(row.b)) {
        sum += row.b;
        worst = std::max(worst, row.b);
        ++solved;
      }
      bits += stored;
      weights += count;
      least = std::min(least, row.facts.rank);
      most = std::max(most, row.facts.rank);
      auto* item = new Item(head);
      item->setText(name, row.facts.short_name);
      item->setData(0, layer_role, layer);
      item->setData(0, value_role, layer);
      item->setToolTip(name, row.facts.name);
      item->put(mean_error, row.b, format_error(row.b));
      item->put(worst_error, row.b, format_error(row.b));
      item->put(rank, row.facts.rank, QString::number(row.facts.rank));
      item->put(size, row.facts.size, format_bits(row.facts.size));
      item->put(megabytes, stored / 8e6, QString::number(stored / 8e6, 'f', 2));
    }
    QFont bold = font();
    bold.setBold(true);
    head->setText(name, group.title);
    head->setFont(name, bold);
    head->setData(0, value_role, key);
    head->put(layers, double(group.layers.size()), QString::number(group.layers.size()));
    head->put(mean_error, solved ? sum / solved : std::nan(""), solved ? format_error(sum / solved) : QString());
    head->put(worst_error, solved ? worst : std::nan(""), solved ? format_error(worst) : QString());
    head->put(rank, most, least == most ? QString::number(most) : QString("%1 … %2").arg(least).arg(most));
    head->put(size, bits / weights, format_bits(bits / weights));
    head->put(megabytes, bits / 8e6, QString::number(bits / 8e6, 'f', 2));
    head->setForeground(layers, c.dim);
    head->setExpanded(open.contains(group.title));
  }
  setSortingEnabled(true);
  showing_ = false;
  showSelection();
}

void LayerGroups::take() {
  if (showing_) return;
  std::vector<int> chosen;
  int current = -1;
  const auto add = [&](const QTreeWidgetItem* item) {
    if (const QVariant layer = item->data(0, layer_role); layer.isValid()) chosen.push_back(layer.toInt());
  };
  for (const QTreeWidgetItem* item : selectedItems()) {
    add(item);
    for (int i = 0; i < item->childCount(); ++i) add(item->child(i));
  }
  if (currentItem()) current = currentItem()->data(0, layer_role).isValid() ? currentItem()->data(0, layer_role).toInt() : -1;
  showing_ = true;  // the person's own rows stay selected, a group does not unfold into its layers
  workspace_.selectLayers(chosen, current);
  showing_ = false;
}

void LayerGroups::showSelection() {
  if (showing_) return;
  showing_ = true;
  const auto& chosen = workspace_.selectedLayers();
  clearSelection();
  for (int g = 0; g < topLevelItemCount(); ++g) {
    QTreeWidgetItem* group = topLevelItem(g);
    int inside = 0;
    for (int i = 0; i < group->childCount(); ++i)
      inside += std::binary_search(chosen.begin(), chosen.end(), group->child(i)->data(0, layer_role).toInt());
    if (inside > 0 && inside == group->childCount()) {
      group->setSelected(true);
      continue;
    }
    for (int i = 0; i < group->childCount(); ++i)
      if (std::binary_search(chosen.begin(), chosen.end(), group->child(i)->data(0, layer_role).toInt()))
        group->child(i)->setSelected(true);
  }
  showing_ = false;
}

void LayerGroups::keyPressEvent(QKeyEvent* event) {
  if (event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter) return emit layerActivated();
  QTreeWidget::keyPressEvent(event);
}

}  // namespace lrc::app
