#include "command_palette.h"

#include <QAction>
#include <QKeyEvent>
#include <QLabel>
#include <QPainter>
#include <QRegularExpression>
#include <QStyledItemDelegate>
#include <QVBoxLayout>
#include <algorithm>
#include <map>
#include <tuple>

#include "models/draft_edits.h"
#include "models/glossary.h"
#include "models/notebook.h"
#include "models/run_selection.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "workspace.h"

namespace lrc::app {

namespace {

constexpr std::size_t most_rows = 60;

/// Kind, name, one fact, the shortcut at the right.
class PaletteDelegate : public QStyledItemDelegate {
 public:
  static constexpr int fact_role = Qt::UserRole, keys_role = Qt::UserRole + 1, prefix_role = Qt::UserRole + 2;
  using QStyledItemDelegate::QStyledItemDelegate;
  void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override {
    const Colours& c = colours();
    painter->save();
    painter->fillRect(option.rect, option.state & QStyle::State_Selected ? c.selected_row : c.base);
    QRect box = option.rect.adjusted(8, 0, -8, 0);
    painter->setPen(c.faint);
    painter->drawText(QRect(box.left(), box.top(), 16, box.height()), Qt::AlignCenter, QString(index.data(prefix_role).toChar()));
    box.setLeft(box.left() + 24);
    painter->setPen(c.dim);
    const QString keys = index.data(keys_role).toString();
    painter->drawText(box, Qt::AlignRight | Qt::AlignVCenter, keys);
    if (!keys.isEmpty()) box.setRight(box.right() - painter->fontMetrics().horizontalAdvance(keys) - 12);
    painter->setPen(c.text);
    const QString name = painter->fontMetrics().elidedText(index.data(Qt::DisplayRole).toString(), Qt::ElideRight, box.width());
    painter->drawText(box, Qt::AlignLeft | Qt::AlignVCenter, name);
    box.setLeft(box.left() + painter->fontMetrics().horizontalAdvance(name) + 16);
    painter->setPen(c.dim);
    if (box.width() > 40)
      painter->drawText(box, Qt::AlignLeft | Qt::AlignVCenter,
                        painter->fontMetrics().elidedText(index.data(fact_role).toString(), Qt::ElideRight, box.width()));
    painter->restore();
  }
};

}  // namespace

CommandPalette::CommandPalette(Workspace& workspace, QWidget* window, QLineEdit* field)
    : QFrame(window), workspace_(workspace), window_(window), field_(field) {
  setObjectName("commandPalette");
  setFrameShape(QFrame::StyledPanel);
  setAutoFillBackground(true);
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(1, 1, 1, 4);
  column->setSpacing(4);
  list_ = new QListWidget(this);
  list_->setObjectName("commandPaletteList");
  list_->setAccessibleName(tr("Found"));
  list_->setFocusPolicy(Qt::NoFocus);
  list_->setFrameShape(QFrame::NoFrame);
  list_->setUniformItemSizes(true);
  list_->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  list_->setItemDelegate(new PaletteDelegate(list_));
  column->addWidget(list_);
  auto* foot = make_dim_label(tr("  > command    @ layer    # run    : setting    ? what is"), this);
  foot->setFont(font_of_points(font(), 8));
  column->addWidget(foot);
  hide();
  field_->installEventFilter(this);
  connect(field_, &QLineEdit::textEdited, this, [this](const QString& text) {
    if (!isVisible()) open(text);
    filter(text);
  });
  connect(list_, &QListWidget::itemClicked, this, [this] { choose(); });
}

void CommandPalette::open(const QString& start) {
  collect();
  field_->setText(start);
  field_->setFocus(Qt::ShortcutFocusReason);
  const QPoint corner = field_->mapTo(window_, QPoint(field_->width(), field_->height() + 2));
  const int wide = std::min(window_->width() - 16, 560);
  setGeometry(std::max(8, corner.x() - wide), corner.y(), wide, std::min(window_->height() - corner.y() - 16, 400));
  filter(start);
  show();
  raise();
}

void CommandPalette::collect() {
  entries_.clear();
  if (workspace_.hasModel()) {
    collect_layers();
    for (auto run = workspace_.runs().rbegin(); run != workspace_.runs().rend(); ++run) {
      const int number = run->number;
      const QString note = Notebook::of(workspace_).runNote(number);
      QString fact = run->usable() ? tr("run · to slot B") : tr("run · not finished");
      if (run->manifest.evaluation && run->manifest.evaluation->kl)
        fact = tr("run · KL %1 · to slot B").arg(format_kl(run->manifest.evaluation->kl->mean));
      if (!note.isEmpty()) fact += " · " + note.section('\n', 0, 0).left(40);
      entries_.push_back({workspace_.slotTitle({number}), fact, {}, '#', [this, number, usable = run->usable()] {
                            RunSelection::of(workspace_).select(number);
                            if (usable)
                              workspace_.setSlotB({number});
                            else
                              workspace_.setPerspective(Perspective::run);
                          }});
    }
  }
  for (QAction* action : window_->findChildren<QAction*>()) {
    if (action->objectName().isEmpty() || action->text().isEmpty() || !action->isEnabled() || action->menu()) continue;
    QString name = action->text().remove('&').remove("…");
    if (action->objectName().endsWith("DockAction")) name = tr("Panel %1").arg(name);
    entries_.push_back({name, action->isCheckable() ? (action->isChecked() ? tr("command · on") : tr("command · off")) : tr("command"),
                        action->shortcut().toString(QKeySequence::NativeText), '>', [action] { action->trigger(); }});
  }
  for (const int per_cent : {80, 90, 100, 110, 125, 150, 200})
    entries_.push_back({tr("Font %1 %").arg(per_cent), tr("setting"), {}, ':', [this, per_cent] { emit fontScaleAsked(per_cent); }});
  for (const auto& [name, theme] :
       {std::pair{tr("Theme light"), "light"}, std::pair{tr("Theme dark"), "dark"}, std::pair{tr("Theme of the system"), "system"}})
    entries_.push_back({name, tr("setting"), {}, ':', [this, theme = QString(theme)] { emit themeAsked(theme); }});
  for (const GlossaryEntry& entry : glossary())
    entries_.push_back({tr("What is “%1”?").arg(entry.term), entry.sentence, {}, '?', [this, term = entry.term] { emit termAsked(term); }});
}

void CommandPalette::collect_layers() {
  const auto& layers = workspace_.model()->layers();
  const Notebook& notebook = Notebook::of(workspace_);
  std::map<Role, std::vector<int>> by_role;
  std::map<std::size_t, std::vector<int>> by_block;
  const auto select = [this](std::vector<int> chosen) {
    workspace_.setPerspective(Perspective::explore);
    workspace_.selectLayers(chosen, chosen.front());
  };
  for (std::size_t i = 0; i < layers.size(); ++i) {
    by_role[layers[i].role].push_back(int(i));
    by_block[layers[i].block].push_back(int(i));
    QString fact = tr("layer");
    if (const LayerRecord* record = workspace_.record(workspace_.slotB(), int(i)))
      fact = tr("layer · error %1 % · rank %2").arg(format_error(record->loss)).arg(record->rank);
    const QString name = QString::fromStdString(short_name(layers[i]));
    const auto go = [select, i] { select({int(i)}); };
    entries_.push_back({name, fact, {}, '@', go});
    if (const QString note = notebook.layerNote(QString::fromStdString(layers[i].name)); !note.isEmpty())
      entries_.push_back({note.section('\n', 0, 0), tr("note on %1").arg(name), {}, '@', go});
  }
  for (const auto& [role, chosen] : by_role)
    entries_.push_back({tr("Select all %1").arg(QString::fromUtf8(lrc::name(role).data(), qsizetype(lrc::name(role).size()))),
                        tr("%1 layers").arg(chosen.size()),
                        {},
                        '@',
                        [select, chosen] { select(chosen); }});
  for (const auto& [block, chosen] : by_block)
    entries_.push_back(
        {tr("Select block %1").arg(block), tr("%1 layers").arg(chosen.size()), {}, '@', [select, chosen] { select(chosen); }});
}

void CommandPalette::add_rank_command(const QString& text) {
  // "rank 10%" or "rank 57": a command made from what is typed.
  static const QRegularExpression form(QStringLiteral("^rank\\s+(\\d+(?:\\.\\d+)?\\s*%?)$"), QRegularExpression::CaseInsensitiveOption);
  const auto match = form.match(text);
  const std::vector<int> layers = workspace_.selectedLayers();
  if (!match.hasMatch() || layers.empty()) return;
  const auto formula = parse_formula(match.captured(1).toStdString());
  if (!formula) return;
  const QString of = QString::fromStdString(describe_layers(*workspace_.model(), layers));
  entries_.push_back({tr("Rank of %1 = %2").arg(of, match.captured(1)), tr("recipe"), "R", '>',
                      [this, layers, formula = *formula, of, typed = match.captured(1)] {
                        try {
                          workspace_.editDraft(tr("Rank of %1 → %2").arg(of, typed),
                                               with_rank_formula(workspace_.draft(), *workspace_.model(), layers, formula));
                        } catch (const Error& error) {
                          workspace_.log(LogLevel::warning, QString::fromUtf8(error.what()));
                        }
                      }});
  made_ = entries_.size() - 1;
}

void CommandPalette::filter(const QString& text) {
  if (made_) {
    entries_.resize(*made_);
    made_.reset();
  }
  add_rank_command(text.trimmed());
  QString wanted = text.trimmed().toLower();
  QChar prefix;
  if (!wanted.isEmpty() && QString(">@#:?").contains(wanted[0])) {
    prefix = wanted[0];
    wanted = wanted.mid(1).trimmed();
  }
  const QStringList words = wanted.split(' ', Qt::SkipEmptyParts);
  // Rank: made from what was typed, exact, prefix, every word somewhere in the name, in the fact; then what was chosen lately.
  struct Found {
    int rank;
    qint64 recency;
    std::size_t entry;
  };
  std::vector<Found> ranked;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    if (!prefix.isNull() && entry.prefix != prefix) continue;
    const QString name = entry.name.toLower();
    const auto all_in = [&](const QString& where) {
      return std::all_of(words.begin(), words.end(), [&](const QString& word) { return where.contains(word); });
    };
    int rank = 3;
    if (made_ == i)
      rank = -1;
    else if (name == wanted)
      rank = 0;
    else if (!words.isEmpty() && name.startsWith(words.front()) && all_in(name))
      rank = 1;
    else if (all_in(name))
      rank = words.isEmpty() && entry.prefix != '>' ? 3 : 2;
    else if (entry.prefix == '?' || !all_in(name + ' ' + entry.fact.toLower()))
      continue;
    const auto used = recent_.indexOf(entry.name);
    ranked.push_back({rank, used < 0 ? 1000 : used, i});
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const Found& a, const Found& b) { return std::tie(a.rank, a.recency) < std::tie(b.rank, b.recency); });
  if (ranked.size() > most_rows) ranked.resize(most_rows);
  list_->clear();
  shown_.clear();
  for (const Found& found : ranked) {
    const Entry& entry = entries_[found.entry];
    shown_.push_back(found.entry);
    auto* item = new QListWidgetItem(entry.name, list_);
    item->setSizeHint({0, 30});
    item->setData(PaletteDelegate::fact_role, entry.fact);
    item->setData(PaletteDelegate::keys_role, entry.shortcut);
    item->setData(PaletteDelegate::prefix_role, entry.prefix);
    item->setData(Qt::AccessibleTextRole, entry.name + ", " + entry.fact);
    item->setToolTip(entry.name + "\n" + entry.fact);
  }
  if (list_->count() > 0) list_->setCurrentRow(0);
}

void CommandPalette::choose() {
  const int row = list_->currentRow();
  if (row < 0 || std::size_t(row) >= shown_.size()) return;
  const Entry& entry = entries_[shown_[std::size_t(row)]];
  const auto action = entry.action;
  recent_.removeAll(entry.name);
  recent_.prepend(entry.name);
  while (recent_.size() > 30) recent_.removeLast();
  dismiss();
  action();
}

void CommandPalette::dismiss() {
  hide();
  field_->clear();
  if (field_->hasFocus()) field_->clearFocus();
}

bool CommandPalette::eventFilter(QObject* watched, QEvent* event) {
  if (watched == field_ && event->type() == QEvent::KeyPress) {
    const auto* key = static_cast<QKeyEvent*>(event);
    switch (key->key()) {
      case Qt::Key_Down:
        list_->setCurrentRow(std::min(list_->currentRow() + 1, list_->count() - 1));
        return true;
      case Qt::Key_Up:
        list_->setCurrentRow(std::max(list_->currentRow() - 1, 0));
        return true;
      case Qt::Key_Return:
      case Qt::Key_Enter:
        choose();
        return true;
      case Qt::Key_Escape:
        dismiss();
        return true;
      default:
        break;
    }
  }
  if (watched == field_ && event->type() == QEvent::MouseButtonPress && !isVisible()) open();
  if (watched == field_ && event->type() == QEvent::FocusOut && isVisible()) dismiss();
  return QFrame::eventFilter(watched, event);
}

}  // namespace lrc::app
