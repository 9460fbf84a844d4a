#include "models/run_table_model.h"

#include "models/notebook.h"
#include "models/run_facts.h"
#include "plot_style.h"

namespace lrc::app {

RunTableModel::RunTableModel(Workspace& workspace, QObject* parent) : QAbstractTableModel(parent), workspace_(workspace) {
  connect(&workspace_, &Workspace::runsChanged, this, [this] { reload(); });
  connect(&workspace_, &Workspace::modelOpened, this, [this] { reload(); });
  connect(&workspace_, &Workspace::modelClosed, this, [this] { reload(); });
  connect(&Notebook::of(workspace_), &Notebook::changed, this, [this] {
    if (rowCount() > 0) emit dataChanged(index(0, 0), index(rowCount() - 1, column_count - 1));
  });
  const auto repaint = [this](int row) {
    if (row >= 0) emit dataChanged(index(row, 0), index(row, column_count - 1));
  };
  connect(&workspace_, &Workspace::runProgress, this, [this, repaint](int changed) { repaint(rowOf(changed)); });
  connect(&workspace_, &Workspace::slotsChanged, this, [this] {
    if (rowCount() > 0) emit dataChanged(index(0, 0), index(rowCount() - 1, column_count - 1));
  });
}

void RunTableModel::reload() {
  beginResetModel();
  endResetModel();
}

int RunTableModel::rowOf(int wanted) const {
  for (std::size_t row = 0; row < workspace_.runs().size(); ++row)
    if (workspace_.runs()[row].number == wanted) return int(row);
  return -1;
}

QString RunTableModel::text(const RunEntry& run, int column) const {
  const QString dash = QStringLiteral("–");
  const Manifest& m = run.manifest;
  const auto& e = m.evaluation;
  switch (column) {
    case number:
      return QString("#%1").arg(run.number);
    case recipe:
      return QString::fromStdString(m.recipe.name);
    case state:
      switch (run.state) {
        case RunEntry::State::queued:
          return tr("queued");
        case RunEntry::State::running:
          return run.progress.stage.empty()
                     ? tr("starting")
                     : tr("%1 %2 %").arg(QString::fromStdString(run.progress.stage)).arg(qRound(100 * run.progress.fraction));
        case RunEntry::State::paused:
          return tr("paused, %1 of %2").arg(m.layers.size()).arg(m.layers_total);
        case RunEntry::State::stopped:
          return tr("stopped, %1 of %2").arg(m.layers.size()).arg(m.layers_total);
        case RunEntry::State::failed:
          return tr("failed: %1").arg(run.failure);
        case RunEntry::State::done:
          return e ? tr("done") : tr("not evaluated");
      }
      break;
    case size:
      return m.bits_per_weight > 0 && run.usable() ? format_bits(m.bits_per_weight) : dash;
    case file:
      return m.file_bytes > 0 && run.usable() ? format_megabytes(m.file_bytes).section(' ', 0, 0) : dash;
    case perplexity:
      return e ? format_perplexity(e->perplexity) : dash;
    case kl:
      return e && e->kl ? format_kl(e->kl->mean) : dash;
    case top1:
      return e && e->top1_agreement ? QString::number(100 * *e->top1_agreement, 'f', 1) : dash;
    case time:
      if (run.state == RunEntry::State::running)
        return run.progress.remaining_s ? tr("%1 left").arg(format_duration(*run.progress.remaining_s))
                                        : format_duration(run.progress.elapsed_s);
      return total_seconds(m) > 0 ? format_duration(total_seconds(m)) : dash;
    default:
      break;
  }
  return {};
}

QVariant RunTableModel::sortValue(const RunEntry& run, int column) const {
  const Manifest& m = run.manifest;
  const auto& e = m.evaluation;
  switch (column) {
    case slot:
      return workspace_.slotA() == Slot{run.number} ? 1 : workspace_.slotB() == Slot{run.number} ? 2 : 3;
    case number:
      return run.number;
    case state:
      return int(run.state);
    case size:
      return m.bits_per_weight;
    case file:
      return qulonglong(m.file_bytes);
    // What is not known sorts behind what is.
    case perplexity:
      return e ? e->perplexity : qInf();
    case kl:
      return e && e->kl ? e->kl->mean : qInf();
    case top1:
      return e && e->top1_agreement ? *e->top1_agreement : -1.0;
    case time:
      return total_seconds(m);
    default:
      return text(run, column).toLower();
  }
}

QString RunTableModel::tip(const RunEntry& run, int column) const {
  const auto& e = run.manifest.evaluation;
  switch (column) {
    case recipe: {
      const QString note = Notebook::of(workspace_).runNote(run.number);
      return QString::fromStdString(run.manifest.recipe.name) + '\n' + method_title(run.manifest.recipe.method) + QStringLiteral(", ") +
             QString::fromStdString(to_string(run.manifest.recipe.rank)) + (note.isEmpty() ? QString() : '\n' + note);
    }
    case state:
      return run.state == RunEntry::State::failed ? run.failure : text(run, state);
    case perplexity:
      return e ? tr("%1 on %2").arg(e->perplexity, 0, 'g', 12).arg(describe_protocol(run.manifest)) : tr("not evaluated");
    case kl:
      return e && e->kl ? tr("mean %1, median %2, p99 %3, max %4 nat")
                              .arg(e->kl->mean, 0, 'g', 9)
                              .arg(e->kl->median, 0, 'g', 4)
                              .arg(e->kl->p99, 0, 'g', 4)
                              .arg(e->kl->max, 0, 'g', 4)
                        : tr("not evaluated");
    case file:
      return tr("%1 bytes").arg(format_count(run.manifest.file_bytes));
    default:
      return {};
  }
}

QVariant RunTableModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid() || index.row() >= rowCount()) return {};
  const RunEntry& entry = run(index.row());
  const int column = index.column();
  switch (role) {
    case Qt::DisplayRole:
      return text(entry, column);
    case Qt::ToolTipRole:
      return tip(entry, column);
    case Qt::TextAlignmentRole:
      return QVariant::fromValue(
          Qt::Alignment(column == recipe || column == state ? Qt::AlignLeft | Qt::AlignVCenter : Qt::AlignRight | Qt::AlignVCenter));
    case Qt::AccessibleTextRole:
      if (column == slot)
        return workspace_.slotA() == Slot{entry.number} ? tr("A") : workspace_.slotB() == Slot{entry.number} ? tr("B") : QString();
      return text(entry, column);
    case sort_role:
      return sortValue(entry, column);
    case fraction_role:
      return entry.state == RunEntry::State::running ? QVariant(entry.progress.fraction) : QVariant();
    case run_role:
      return entry.number;
    default:
      return {};
  }
}

QVariant RunTableModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation != Qt::Horizontal) return {};
  if (role == Qt::TextAlignmentRole)
    return QVariant::fromValue(
        Qt::Alignment(section == recipe || section == state ? Qt::AlignLeft | Qt::AlignVCenter : Qt::AlignRight | Qt::AlignVCenter));
  if (role != Qt::DisplayRole) return {};
  const QString names[] = {{},
                           tr("Run"),
                           tr("Recipe"),
                           tr("State"),
                           tr("Size\nb/w"),
                           tr("File\nMB"),
                           tr("PPL\ntest text"),
                           tr("KL\nnat/token"),
                           tr("Top-1\n%"),
                           tr("Time")};
  return names[section];
}

RunProxy::RunProxy(RunTableModel& model, QObject* parent) : QSortFilterProxyModel(parent), model_(model) {
  setSourceModel(&model);
  setSortRole(RunTableModel::sort_role);
  setDynamicSortFilter(true);
}

void RunProxy::setFilter(RunFilter filter) {
  filter_ = std::move(filter);
  invalidateFilter();
}

bool RunProxy::filterAcceptsRow(int row, const QModelIndex&) const { return !filter_.accepts || filter_.accepts(model_.run(row)); }

}  // namespace lrc::app
