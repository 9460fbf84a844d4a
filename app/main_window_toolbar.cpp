// The toolbar with its slots, and the banners above the docks.
#include <QComboBox>
#include <QLineEdit>
#include <QResizeEvent>
#include <QToolBar>
#include <algorithm>

#include "command_palette.h"
#include "frame_widgets.h"
#include "main_window.h"
#include "models/notebook.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "widgets.h"

namespace lrc::app {

void MainWindow::make_toolbar() {
  toolbar_ = addToolBar(tr("Toolbar"));
  toolbar_->setObjectName("toolbar");
  toolbar_->setMovable(false);
  toolbar_->setContextMenuPolicy(Qt::PreventContextMenu);
  toolbar_->setIconSize({16, 16});
  toolbar_->setContentsMargins(4, 2, 4, 2);
  toolbar_->layout()->setSpacing(4);
  perspectives_ = new SegmentSwitch(tr("Perspective"), toolbar_);
  perspectives_->setObjectName("perspectiveBar");
  const QStringList names = {tr("Explore"), tr("Run"), tr("Chat"), tr("Export")};
  for (int i = 0; i < 4; ++i) perspectives_->addSegment(i, names[i], QString("%1  Ctrl+%2").arg(names[i]).arg(i + 1));
  perspectives_->on_change = [this](int index) {
    end_open_failure();
    if (workspace_.hasModel()) workspace_.setPerspective(Perspective(index));
  };
  toolbar_->addWidget(perspectives_);
  toolbar_->addSeparator();
  for (const auto& [object_name, button_name] : std::initializer_list<std::pair<const char*, const char*>>{
           {"backAction", "backButton"}, {"forwardAction", "forwardButton"}, {"undoAction", "undoButton"}, {"redoAction", "redoButton"}}) {
    toolbar_->addAction(actions_[object_name]);
    if (QWidget* button = toolbar_->widgetForAction(actions_[object_name])) button->setObjectName(button_name);
  }
  toolbar_->addSeparator();
  const auto make_slot = [this](const char* object_name, const QString& name) {
    auto* combo = new ElidedCombo(toolbar_);
    combo->setObjectName(object_name);
    combo->setAccessibleName(name);
    combo->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    combo->setMinimumContentsLength(8);
    combo->setFixedWidth(176);
    return combo;
  };
  slot_a_ = make_slot("slotA", tr("Slot A, the reference"));
  slot_b_ = make_slot("slotB", tr("Slot B, the candidate"));
  auto* swap = new IconButton("swap", tr("Swap A and B  Ctrl+Shift+X"), toolbar_);
  swap->setObjectName("swapSlotsButton");
  connect(swap, &QToolButton::clicked, &workspace_, &Workspace::swapSlots);
  slot_actions_ = {toolbar_->addWidget(new SlotBadge(true, toolbar_)), toolbar_->addWidget(slot_a_), toolbar_->addWidget(swap),
                   toolbar_->addWidget(new SlotBadge(false, toolbar_)), toolbar_->addWidget(slot_b_)};
  const auto chosen = [](const QComboBox* combo) {
    const int number = combo->currentData().toInt();
    return number > 0 ? Slot{number} : Slot{};
  };
  connect(slot_a_, &QComboBox::activated, this, [this, chosen] { workspace_.setSlotA(chosen(slot_a_)); });
  connect(slot_b_, &QComboBox::activated, this, [this, chosen] { workspace_.setSlotB(chosen(slot_b_)); });
  auto* space = new QWidget(toolbar_);
  space->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Preferred);
  toolbar_->addWidget(space);
  jump_ = new QLineEdit(toolbar_);
  jump_->setObjectName("jumpField");
  jump_->setAccessibleName(tr("Jump to a layer, run or command"));
  jump_->setPlaceholderText(tr("Jump to anything   Ctrl+K"));
  jump_->setFixedWidth(212);
  jump_->setFocusPolicy(Qt::ClickFocus);
  toolbar_->addWidget(jump_);
  palette_ = new CommandPalette(workspace_, this, jump_);
  connect(palette_, &CommandPalette::fontScaleAsked, this, &MainWindow::set_font_scale);
  connect(palette_, &CommandPalette::themeAsked, this, &MainWindow::set_theme);
  connect(palette_, &CommandPalette::termAsked, this, &MainWindow::show_glossary);
}

void MainWindow::fill_slots() {
  const auto fill = [this](QComboBox* combo, Slot slot) {
    combo->clear();
    combo->addItem(tr("Original"), 0);
    // Pinned runs first, then the newest.
    std::vector<const RunEntry*> runs;
    for (auto run = workspace_.runs().rbegin(); run != workspace_.runs().rend(); ++run)
      if (run->usable()) runs.push_back(&*run);
    const Notebook& notebook = Notebook::of(workspace_);
    std::stable_partition(runs.begin(), runs.end(), [&](const RunEntry* run) { return notebook.isPinned(run->number); });
    for (const RunEntry* run : runs) {
      QString text = workspace_.slotTitle({run->number});
      combo->addItem(text, run->number);
      QString fact = tr("%1 b/w").arg(format_bits(run->manifest.bits_per_weight));
      if (run->manifest.evaluation && run->manifest.evaluation->kl)
        fact += tr(", KL %1").arg(format_kl(run->manifest.evaluation->kl->mean));
      combo->setItemData(combo->count() - 1, text + "  " + fact, Qt::ToolTipRole);
    }
    const int at = combo->findData(slot.run.value_or(0));
    combo->setCurrentIndex(std::max(0, at));
    combo->setToolTip(combo->currentData(Qt::ToolTipRole).toString().isEmpty() ? combo->currentText()
                                                                               : combo->currentData(Qt::ToolTipRole).toString());
    combo->view()->setMinimumWidth(combo->view()->sizeHintForColumn(0) + 24);
  };
  fill(slot_a_, workspace_.slotA());
  fill(slot_b_, workspace_.slotB());
}

void MainWindow::resizeEvent(QResizeEvent* event) {
  QMainWindow::resizeEvent(event);
  const bool narrow = width() < 1400;
  // What the rest of the bar leaves, so that the names of runs are read whole where there is room.
  const int slot_width = std::clamp((width() - (narrow ? 860 : 900)) / 2, 128, 280);
  slot_a_->setFixedWidth(slot_width);
  slot_b_->setFixedWidth(slot_width);
  jump_->setFixedWidth(narrow ? 180 : 212);
  jump_->setPlaceholderText(narrow ? tr("Jump to…   Ctrl+K") : tr("Jump to anything   Ctrl+K"));
}

// ---- Banners -----------------------------------------------------------------------------------------------------------

void MainWindow::make_banners() {
  addToolBarBreak();
  banner_bar_ = new QToolBar(tr("Messages"), this);
  banner_bar_->setObjectName("bannerArea");
  banner_bar_->setMovable(false);
  banner_bar_->setContextMenuPolicy(Qt::PreventContextMenu);
  banner_bar_->layout()->setContentsMargins(0, 0, 0, 0);
  addToolBar(banner_bar_);
  banner_ = new Notice(banner_bar_);
  banner_->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Preferred);
  // A toolbar asks for the height before it knows the width, as if every sentence were wrapped to a column.
  banner_->setMaximumHeight(2 * fontMetrics().lineSpacing() + 12);
  banner_bar_->addWidget(banner_);
  auto* close = new IconButton("close", tr("Dismiss this message"), banner_bar_);
  close->setObjectName("bannerClose");
  connect(close, &QToolButton::clicked, this, [this] {
    std::function<void()> dismissed;
    if (!banners_.empty()) dismissed = std::move(banners_.front().dismissed), banners_.pop_front();
    show_next_banner();
    if (dismissed) dismissed();
  });
  banner_bar_->addWidget(close);
  banner_bar_->hide();
}

void MainWindow::show_next_banner() {
  if (banners_.empty()) {
    banner_->clear();
    banner_bar_->hide();
    return;
  }
  const Banner now = banners_.front();
  const QString count = banners_.size() > 1 ? tr("  (1 of %1)").arg(banners_.size()) : QString();
  banner_->say(now.text + count, Notice::Tone::warning, now.button, [this, action = now.action] {
    if (!banners_.empty()) banners_.pop_front();
    show_next_banner();
    if (action) action();
  });
  // A toolbar shows a widget by its action: a message that came before the window was shown has none yet.
  banner_bar_->actions().first()->setVisible(true);
  banner_bar_->show();
}

}  // namespace lrc::app
