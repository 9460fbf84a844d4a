#include "panels/rules_editor.h"

#include <QHBoxLayout>
#include <QKeyEvent>
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QSignalBlocker>
#include <QToolButton>
#include <QVBoxLayout>
#include <algorithm>

#include "base/error.h"
#include "models/recipe_rules.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "workspace.h"

namespace lrc::app {

RulesEditor::RulesEditor(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  list_ = new QListWidget(this);
  list_->setObjectName("recipeRules");
  list_->setAccessibleName(tr("Rules, later ones win"));
  list_->setToolTip(tr("Later rules win; a layer's own settings win over all rules. Del removes, Ctrl+↑↓ moves."));
  list_->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  list_->setTextElideMode(Qt::ElideMiddle);
  list_->installEventFilter(this);
  column->addWidget(list_);
  auto* row = new QHBoxLayout;
  row->setSpacing(4);
  text_ = new QLineEdit(this);
  text_->setObjectName("recipeRuleText");
  text_->setAccessibleName(tr("Rule"));
  text_->setPlaceholderText("*.v_proj:weight_bits=5");
  text_->setToolTip(
      tr("PATTERN:field=value,field=value as --set takes it: weight_bits, rank, group_size, activation_bits, method, skip, …\n"
         "Enter adds it, or replaces the rule that is selected above."));
  row->addWidget(text_, 1);
  up_ = make_tool_button("recipeRuleUp", QStringLiteral("↑"), tr("Earlier: rules behind it win over it"), this);
  down_ = make_tool_button("recipeRuleDown", QStringLiteral("↓"), tr("Later: it wins over those before it"), this);
  remove_ = make_tool_button("recipeRuleRemove", QStringLiteral("−"), tr("Remove the rule"), this);
  for (QToolButton* button : {up_, down_, remove_}) row->addWidget(button);
  column->addLayout(row);
  problem_ = new QLabel(this);
  problem_->setObjectName("recipeRuleProblem");
  problem_->setWordWrap(true);
  problem_->setForegroundRole(bad_role);
  problem_->setFont(font_of_points(font(), 8));
  problem_->hide();
  column->addWidget(problem_);
  connect(text_, &QLineEdit::returnPressed, this, &RulesEditor::takeText);
  connect(list_, &QListWidget::currentRowChanged, this, &RulesEditor::showCurrent);
  connect(up_, &QToolButton::clicked, this, [this] { move(-1); });
  connect(down_, &QToolButton::clicked, this, [this] { move(1); });
  connect(remove_, &QToolButton::clicked, this, &RulesEditor::remove);
  refresh();
}

std::vector<Override> RulesEditor::rules() const {
  std::vector<Override> rules;
  for (const RuleLine& line : rules_of(workspace_.draft(), *workspace_.model())) rules.push_back(line.rule);
  return rules;
}

void RulesEditor::refresh() {
  if (!workspace_.hasModel()) return;
  const QSignalBlocker quiet(list_);
  const int current = list_->currentRow();
  list_->clear();
  for (const RuleLine& line : rules_of(workspace_.draft(), *workspace_.model())) {
    const QString hits = line.hits == 1 ? tr("1 layer") : tr("%1 layers").arg(line.hits);
    auto* item =
        new QListWidgetItem(QString("%1 → %2    %3%4").arg(line.pattern, line.settings, hits, line.dead ? tr(", no effect") : QString()));
    item->setToolTip(line.dead
                         ? tr("%1:%2\nNothing would be different without it: it matches nothing, or what it sets is set again behind it.")
                               .arg(line.pattern, line.settings)
                         : QString("%1:%2").arg(line.pattern, line.settings));
    item->setData(Qt::UserRole, QString("%1:%2").arg(line.pattern, line.settings));
    if (line.dead) {
      QFont dead = list_->font();
      dead.setStrikeOut(true);
      item->setFont(dead);
      item->setForeground(colours().warn);
    }
    list_->addItem(item);
  }
  list_->setVisible(list_->count() > 0);
  list_->setFixedHeight(std::clamp(list_->count(), 1, 6) * std::max(20, list_->sizeHintForRow(0)) + 6);
  list_->setCurrentRow(std::min(current, list_->count() - 1));
  showCurrent();
}

QString RulesEditor::summary() const { return list_->count() == 0 ? tr("none") : QString::number(list_->count()); }

void RulesEditor::showCurrent() {
  const int row = list_->currentRow();
  remove_->setEnabled(row >= 0);
  up_->setEnabled(row > 0);
  down_->setEnabled(row >= 0 && row + 1 < list_->count());
  if (row >= 0 && !text_->hasFocus()) text_->setText(list_->item(row)->data(Qt::UserRole).toString());
}

void RulesEditor::write(const QString& name, const std::vector<Override>& rules, int current) {
  problem_->hide();
  workspace_.editDraft(name, with_rules(workspace_.draft(), rules));
  refresh();
  list_->setCurrentRow(std::min(current, list_->count() - 1));
}

void RulesEditor::takeText() {
  if (!workspace_.hasModel()) return;
  try {
    const Override rule = parse_rule(text_->text());
    auto all = rules();
    const int row = list_->currentRow();
    const QString pattern = QString::fromStdString(rule.pattern);
    if (row >= 0 && std::size_t(row) < all.size()) {
      all[std::size_t(row)] = rule;
      write(tr("Rule %1: %2").arg(row + 1).arg(pattern), all, row);
    } else {
      all.push_back(rule);
      write(tr("Rule for %1").arg(pattern), all, -1);
      text_->clear();
    }
  } catch (const Error& error) {
    problem_->setText(QString::fromUtf8(error.what()).remove("--set "));  // here it is a line of its own
    problem_->show();
    text_->selectAll();
  }
}

void RulesEditor::move(int by) {
  auto all = rules();
  const int row = list_->currentRow(), to = row + by;
  if (row < 0 || to < 0 || std::size_t(std::max(row, to)) >= all.size()) return;
  std::swap(all[std::size_t(row)], all[std::size_t(to)]);
  write(tr("Rule %1 → place %2").arg(row + 1).arg(to + 1), all, to);
}

void RulesEditor::remove() {
  auto all = rules();
  const int row = list_->currentRow();
  if (row < 0 || std::size_t(row) >= all.size()) return;
  const QString pattern = QString::fromStdString(all[std::size_t(row)].pattern);
  all.erase(all.begin() + row);
  text_->clear();
  write(tr("Rule for %1 removed").arg(pattern), all, -1);
}

bool RulesEditor::eventFilter(QObject* watched, QEvent* event) {
  if (watched == list_ && event->type() == QEvent::KeyPress) {
    const auto* key = static_cast<QKeyEvent*>(event);
    if (key->key() == Qt::Key_Delete || key->key() == Qt::Key_Backspace) {
      remove();
      return true;
    }
    if (key->modifiers() & Qt::ControlModifier && (key->key() == Qt::Key_Up || key->key() == Qt::Key_Down)) {
      move(key->key() == Qt::Key_Up ? -1 : 1);
      return true;
    }
    if (key->key() == Qt::Key_Escape && list_->currentRow() >= 0) {  // the line adds again
      list_->setCurrentRow(-1);
      text_->clear();
      return true;
    }
  }
  return QWidget::eventFilter(watched, event);
}

}  // namespace lrc::app
