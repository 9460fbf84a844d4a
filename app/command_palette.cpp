#include "command_palette.h"

#include <QAction>
#include <QKeyEvent>
#include <QLabel>
#include <QVBoxLayout>
#include <algorithm>

#include "models/draft_edits.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "workspace.h"

namespace lrc::app {

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
  column->addWidget(list_);
  auto* foot = make_dim_label(tr("  > command    @ layer    # run"), this);
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
    const auto& layers = workspace_.model()->layers();
    for (std::size_t i = 0; i < layers.size(); ++i) {
      QString fact = tr("layer");
      if (const LayerRecord* record = workspace_.record(workspace_.slotB(), int(i)))
        fact = tr("layer · error %1 % · rank %2").arg(format_error(record->loss)).arg(record->rank);
      entries_.push_back({QString::fromStdString(short_name(layers[i])), fact, {}, '@', [this, i] {
                            workspace_.setPerspective(Perspective::explore);
                            workspace_.selectLayers({int(i)}, int(i));
                          }});
    }
    for (const RunEntry& run : workspace_.runs()) {
      if (run.state != RunEntry::State::done) continue;
      const int number = run.number;
      entries_.push_back(
          {workspace_.slotTitle({number}), tr("run · to slot B"), {}, '#', [this, number] { workspace_.setSlotB({number}); }});
    }
  }
  for (QAction* action : window_->findChildren<QAction*>()) {
    if (action->objectName().isEmpty() || action->text().isEmpty() || !action->isEnabled() || action->menu()) continue;
    entries_.push_back({action->text().remove('&').remove("…"), tr("command"), action->shortcut().toString(QKeySequence::NativeText), '>',
                        [action] { action->trigger(); }});
  }
}

void CommandPalette::filter(const QString& text) {
  QString wanted = text.trimmed().toLower();
  QChar prefix;
  if (!wanted.isEmpty() && QString(">@#").contains(wanted[0])) {
    prefix = wanted[0];
    wanted = wanted.mid(1).trimmed();
  }
  const QStringList words = wanted.split(' ', Qt::SkipEmptyParts);
  // Rank: exact, prefix, every word somewhere.
  std::vector<std::pair<int, std::size_t>> ranked;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    if (!prefix.isNull() && entry.prefix != prefix) continue;
    const QString name = entry.name.toLower();
    if (!std::all_of(words.begin(), words.end(), [&](const QString& word) { return name.contains(word); })) continue;
    const int rank = name == wanted                                         ? 0
                     : (wanted.isEmpty() && entry.prefix == '>')            ? 0
                     : (!words.isEmpty() && name.startsWith(words.front())) ? 1
                                                                            : 2;
    ranked.emplace_back(rank, i);
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  if (ranked.size() > 100) ranked.resize(100);
  list_->clear();
  shown_.clear();
  for (const auto& [rank, i] : ranked) {
    const Entry& entry = entries_[i];
    shown_.push_back(i);
    auto* item = new QListWidgetItem(list_);
    item->setSizeHint({0, 30});
    auto* row = new QWidget(list_);
    auto* cells = new QHBoxLayout(row);
    cells->setContentsMargins(8, 0, 8, 0);
    auto* name = new QLabel(entry.name, row);
    cells->addWidget(name);
    cells->addWidget(make_dim_label(entry.fact, row));
    cells->addStretch(1);
    cells->addWidget(make_dim_label(entry.shortcut, row));
    item->setData(Qt::AccessibleTextRole, entry.name + ", " + entry.fact);
    list_->setItemWidget(item, row);
  }
  if (list_->count() > 0) list_->setCurrentRow(0);
}

void CommandPalette::choose() {
  const int row = list_->currentRow();
  if (row < 0 || std::size_t(row) >= shown_.size()) return;
  const auto action = entries_[shown_[std::size_t(row)]].action;
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
