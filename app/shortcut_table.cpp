#include "shortcut_table.h"

#include <QAction>
#include <QHeaderView>
#include <QKeySequenceEdit>
#include <QLabel>
#include <QSettings>
#include <QTableWidget>
#include <QToolButton>
#include <QVBoxLayout>
#include <algorithm>

#include "settings_window.h"

namespace lrc::app {

namespace {

constexpr const char* standard_keys = "standardShortcut";

QString setting_of(const QAction& action) { return "shortcuts/" + action.objectName(); }

/// Those that a person can change: named, with a text, of the frame itself.
std::vector<QAction*> actions_of(QWidget& window) {
  std::vector<QAction*> actions;
  for (QAction* action : window.findChildren<QAction*>(QString(), Qt::FindDirectChildrenOnly))
    if (action->objectName().endsWith("Action") && !action->text().isEmpty()) actions.push_back(action);
  std::sort(actions.begin(), actions.end(), [](const QAction* a, const QAction* b) { return a->text() < b->text(); });
  return actions;
}

QString plain_text(const QAction& action) { return action.text().remove('&').remove(QStringLiteral("…")); }

}  // namespace

void apply_saved_shortcuts(QWidget& window) {
  for (QAction* action : actions_of(window)) {
    if (!action->property(standard_keys).isValid()) action->setProperty(standard_keys, action->shortcut().toString());
    const QVariant chosen = QSettings().value(setting_of(*action));
    if (chosen.isValid()) action->setShortcut(QKeySequence(chosen.toString()));
  }
}

ShortcutTable::ShortcutTable(QWidget& window, QWidget* parent) : QWidget(parent), window_(window) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  conflict_ = new QLabel(this);
  conflict_->setObjectName("shortcutConflict");
  conflict_->setWordWrap(true);
  conflict_->hide();
  column->addWidget(conflict_);
  table_ = new QTableWidget(this);
  table_->setObjectName("shortcutTable");
  table_->setAccessibleName(tr("Shortcuts"));
  table_->setColumnCount(3);
  table_->setHorizontalHeaderLabels({tr("Command"), tr("Keys"), QString()});
  table_->verticalHeader()->hide();
  table_->setShowGrid(false);
  table_->setEditTriggers(QAbstractItemView::NoEditTriggers);
  table_->setSelectionMode(QAbstractItemView::NoSelection);
  table_->horizontalHeader()->setSectionResizeMode(0, QHeaderView::Stretch);
  table_->horizontalHeader()->resizeSection(1, 160);
  table_->horizontalHeader()->resizeSection(2, 32);
  table_->setMinimumHeight(260);
  column->addWidget(table_);
  fill();
}

void ShortcutTable::fill() {
  const auto actions = actions_of(window_);
  table_->setRowCount(int(actions.size()));
  for (std::size_t i = 0; i < actions.size(); ++i) {
    QAction* action = actions[i];
    table_->setItem(int(i), 0, new QTableWidgetItem(plain_text(*action)));
    auto* keys = new QKeySequenceEdit(action->shortcut(), table_);
    keys->setObjectName("keys_" + action->objectName());
    keys->setAccessibleName(tr("Keys for %1").arg(plain_text(*action)));
    connect(keys, &QKeySequenceEdit::editingFinished, this, [this, action, keys] { choose(action, keys->keySequence()); });
    table_->setCellWidget(int(i), 1, keys);
    const QKeySequence standard(action->property(standard_keys).toString());
    table_->removeCellWidget(int(i), 2);
    if (action->shortcut() == standard) continue;
    auto* reset = new QToolButton(table_);
    reset->setText(QStringLiteral("↺"));
    reset->setAutoRaise(true);
    reset->setAccessibleName(tr("The standard keys for %1").arg(plain_text(*action)));
    reset->setToolTip(reset->accessibleName());
    connect(reset, &QToolButton::clicked, this, [this, action, standard] { choose(action, standard); });
    table_->setCellWidget(int(i), 2, reset);
  }
}

void ShortcutTable::choose(QAction* action, const QKeySequence& keys) {
  if (keys == action->shortcut()) return;
  for (const QAction* other : actions_of(window_))
    if (other != action && !keys.isEmpty() && other->shortcuts().contains(keys)) {
      conflict_->setText(tr("%1 is already “%2”. Give that another key first; “%3” keeps %4.")
                             .arg(keys.toString(QKeySequence::NativeText), plain_text(*other), plain_text(*action),
                                  action->shortcut().isEmpty() ? tr("none") : action->shortcut().toString(QKeySequence::NativeText)));
      conflict_->show();
      QMetaObject::invokeMethod(this, &ShortcutTable::fill, Qt::QueuedConnection);
      return;
    }
  conflict_->hide();
  action->setShortcut(keys);
  if (keys == QKeySequence(action->property(standard_keys).toString()))
    QSettings().remove(setting_of(*action));
  else
    QSettings().setValue(setting_of(*action), keys.toString());
  QMetaObject::invokeMethod(this, &ShortcutTable::fill, Qt::QueuedConnection);
}

void ShortcutTable::filter(const QString& words) {
  for (int row = 0; row < table_->rowCount(); ++row)
    table_->setRowHidden(row, !words.isEmpty() && !table_->item(row, 0)->text().contains(words, Qt::CaseInsensitive));
}

}  // namespace lrc::app
