#include "panels/chat_transcript.h"

#include <QApplication>
#include <QClipboard>
#include <QPushButton>
#include <QScrollBar>
#include <QTimer>
#include <QVBoxLayout>

#include "panels/panel_widgets.h"
#include "panels/sample_batch.h"
#include "plot_style.h"
#include "widgets.h"

namespace lrc::app {

ChatTranscript::ChatTranscript(QWidget* parent) : QScrollArea(parent) {
  setObjectName("chatTranscript");
  setAccessibleName(tr("Conversation"));
  setWidgetResizable(true);
  setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  page_ = new QWidget(this);
  page_->setBackgroundRole(QPalette::Base);
  page_->setAutoFillBackground(true);
  auto* column = new QVBoxLayout(page_);
  column->setContentsMargins(8, 8, 8, 8);
  grid_ = new QGridLayout;
  grid_->setHorizontalSpacing(24);
  grid_->setVerticalSpacing(8);
  grid_->setColumnStretch(0, 1);
  grid_->setColumnStretch(1, 1);
  column->addLayout(grid_);
  column->addWidget(makeSamples());
  column->addStretch(1);
  setWidget(page_);
}

void ChatTranscript::clear(bool offer_samples) {
  dropFrom(0);
  samples_->setVisible(offer_samples);
}

void ChatTranscript::dropFrom(std::size_t turn) {
  // Away at once, deleted later: one of their buttons may have asked for it.
  const auto drop = [this](QWidget* widget) {
    grid_->removeWidget(widget);
    widget->hide();
    widget->setObjectName({});
    for (QWidget* child : widget->findChildren<QWidget*>()) child->setObjectName({});
    widget->deleteLater();
  };
  for (std::size_t i = turn; i < views_.size(); ++i)
    for (std::size_t side = 0; side < 2; ++side) {
      disconnect(views_[i].answer[side], nullptr, this, nullptr);
      if (pinned_ == views_[i].answer[side]) pinned_ = nullptr;
      drop(views_[i].prompt[side]);
      drop(views_[i].answer[side]);
      drop(views_[i].foot[side]);
    }
  views_.resize(std::min(turn, views_.size()));
  if (!views_.empty()) views_.back().regenerate->show();
}

void ChatTranscript::append(int side, const QString& text) {
  const QScrollBar* bar = verticalScrollBar();
  const bool at_end = bar->value() >= bar->maximum() - 4;
  views_.back().answer[std::size_t(side)]->append(text);
  views_.back().answer[std::size_t(side)]->setStreaming(true);
  if (at_end) toEnd();
}

QWidget* ChatTranscript::makeSamples() {
  samples_ = new QWidget(page_);
  samples_->setObjectName("samplePrompts");
  auto* column = new QVBoxLayout(samples_);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  column->addWidget(make_dim_label(tr("Both answer the same prompt, side by side. Type one below, or take one of these:"), samples_));
  auto* groups = new QGridLayout;
  groups->setVerticalSpacing(0);
  groups->setColumnStretch(1, 1);
  column->addLayout(groups);
  for (const SampleGroup& group : sample_groups())
    for (const QString& prompt : group.prompts) {
      const int row = groups->rowCount();
      if (prompt == group.prompts.front()) groups->addWidget(make_dim_label(group.title, samples_), row, 0);
      auto* button = new LineButton(prompt, samples_);
      button->setAccessibleDescription(group.title);
      groups->addWidget(button, row, 1, Qt::AlignLeft);
      connect(button, &QPushButton::clicked, this, [this, prompt] { emit promptChosen(prompt); });
    }
  return samples_;
}

void ChatTranscript::addTurn(const QString& prompt) {
  samples_->hide();
  TurnView view;
  const int row = grid_->rowCount();
  for (int side = 0; side < 2; ++side) {
    const std::size_t s = std::size_t(side);
    view.prompt[s] = new QLabel(prompt, page_);
    view.prompt[s]->setObjectName(QString("chatPrompt%1%2").arg(side == 0 ? "A" : "B").arg(views_.size() + 1));
    view.prompt[s]->setTextFormat(Qt::PlainText);
    view.prompt[s]->setWordWrap(true);
    view.prompt[s]->setMargin(8);
    view.prompt[s]->setFont(font_of_points(font(), 10));
    view.prompt[s]->setBackgroundRole(QPalette::Window);
    view.prompt[s]->setAutoFillBackground(true);
    view.prompt[s]->setTextInteractionFlags(Qt::TextSelectableByMouse);
    grid_->addWidget(view.prompt[s], row, side);
    view.answer[s] = new TokenText(page_);
    view.answer[s]->setObjectName(QString("chatAnswer%1%2").arg(side == 0 ? "A" : "B").arg(views_.size() + 1));
    view.answer[s]->setAccessibleName(side == 0 ? tr("Answer of A") : tr("Answer of B"));
    grid_->addWidget(view.answer[s], row + 1, side, Qt::AlignTop);
    view.foot[s] = makeFoot(view, views_.size(), side);
    grid_->addWidget(view.foot[s], row + 2, side, Qt::AlignTop);
    connect(view.answer[s], &TokenText::continueAsked, this, [this, turn = views_.size()](int token) { emit continueAsked(turn, token); });
    TokenText* text = view.answer[s];
    connect(text, &TokenText::pointedAt, this, [this, text, turn = views_.size()](int token) {
      // While one is pinned, the pointer elsewhere changes nothing; the keys do.
      if (pinned_ == nullptr || pinned_ == text || text->hasFocus()) emit pointedAt(turn, token);
    });
    connect(text, &TokenText::pinToggled, this, [this, text](bool pinned) {
      if (pinned && pinned_) pinned_->setPinned(false);
      pinned_ = pinned ? text : nullptr;
    });
  }
  setTabOrder(view.answer[0], view.answer[1]);  // from column to column, then to the tools
  setTabOrder(view.answer[1], view.foot[0]->findChild<QToolButton*>());
  for (TurnView& older : views_) older.regenerate->hide();  // only the last turn can be answered again
  views_.push_back(view);
  toEnd();
}

QWidget* ChatTranscript::makeFoot(TurnView& view, std::size_t turn, int side) {
  auto* foot = new QWidget(page_);
  auto* line = new QHBoxLayout(foot);
  line->setContentsMargins(0, 0, 0, 8);
  line->setSpacing(4);
  auto* copy = new IconButton("copy", tr("Copy the answer"), foot);
  line->addWidget(copy);
  TokenText* text = view.answer[std::size_t(side)];
  connect(copy, &QToolButton::clicked, this, [text] { QGuiApplication::clipboard()->setText(text->toPlainText()); });
  if (side == 0) {
    view.regenerate = new IconButton("refresh", tr("Answer again  Ctrl+R"), foot);
    view.regenerate->setObjectName("chatRegenerate");
    line->addWidget(view.regenerate);
    connect(view.regenerate, &QToolButton::clicked, this, &ChatTranscript::regenerateAsked);
    auto* edit = new IconButton("edit", tr("Edit the message and send it from here; what was said is kept"), foot);
    edit->setObjectName(QString("chatEdit%1").arg(turn + 1));
    line->addWidget(edit);
    connect(edit, &QToolButton::clicked, this, [this, turn] { emit editAsked(turn); });
    makeBranches(view, turn, line);
  }
  QLabel*& info = view.info[std::size_t(side)];
  info = make_dim_label({}, foot);
  info->setFont(font_of_points(font(), 8));
  info->setWordWrap(true);
  line->addWidget(info, 1);
  return foot;
}

void ChatTranscript::makeBranches(TurnView& view, std::size_t turn, QBoxLayout* line) {
  view.branches = new QWidget(line->parentWidget());
  auto* row = new QHBoxLayout(view.branches);
  row->setContentsMargins(0, 0, 0, 0);
  row->setSpacing(0);
  const auto button = [&](const char* name, const QString& text, const QString& tip, int step) {
    QToolButton* made = make_tool_button(QString("%1%2").arg(name).arg(turn + 1), text, tip, view.branches);
    connect(made, &QToolButton::clicked, this, [this, turn, step] { emit branchChosen(turn, views_[turn].place + std::size_t(step)); });
    return made;
  };
  view.previous = button("chatBranchPrevious", QStringLiteral("‹"), tr("What was said here before"), -1);
  view.branch = new QLabel(view.branches);
  view.branch->setObjectName(QString("chatBranch%1").arg(turn + 1));
  view.next = button("chatBranchNext", QStringLiteral("›"), tr("What was said here after"), 1);
  row->addWidget(view.previous);
  row->addWidget(view.branch);
  row->addWidget(view.next);
  view.branches->hide();
  line->addWidget(view.branches);
}

void ChatTranscript::showBranches(std::size_t turn, std::size_t place, std::size_t count) {
  TurnView& view = views_[turn];
  view.place = place;
  view.branch->setText(QString("%1/%2").arg(place + 1).arg(count));
  view.branch->setAccessibleName(tr("Version %1 of %2").arg(place + 1).arg(count));
  view.previous->setEnabled(place > 0);
  view.next->setEnabled(place + 1 < count);
  view.branches->setVisible(count > 1);
}

void ChatTranscript::setCut(std::size_t first) {
  for (std::size_t turn = 0; turn < views_.size(); ++turn)
    for (std::size_t side = 0; side < 2; ++side) {
      const bool grey = turn < first;
      QPalette shades;
      if (grey) shades.setColor(QPalette::WindowText, colours().faint);
      views_[turn].prompt[side]->setPalette(shades);
      views_[turn].answer[side]->setGrey(grey);
      views_[turn].prompt[side]->setToolTip(grey ? tr("Not read any more: the context is full") : QString());
    }
}

void ChatTranscript::goToTurn(std::size_t turn) {
  if (turn >= views_.size()) return;
  ensureWidgetVisible(views_[turn].foot[1]);
  ensureWidgetVisible(views_[turn].prompt[1]);
  views_[turn].answer[1]->setFocus(Qt::ShortcutFocusReason);
}

void ChatTranscript::unpin() {
  if (pinned_) pinned_->setPinned(false);
}

int ChatTranscript::turnWithFocus() const {
  const QWidget* focus = QApplication::focusWidget();
  for (std::size_t turn = 0; turn < views_.size(); ++turn)
    for (std::size_t side = 0; side < 2; ++side)
      if (views_[turn].answer[side] == focus || views_[turn].foot[side]->isAncestorOf(focus)) return int(turn);
  return -1;
}

void ChatTranscript::showAnswer(std::size_t turn, int side, const ChatTurn& content, const Tokenizer& tokenizer, TokenColour colour,
                                const QString& slot_title) {
  TurnView& view = views_[turn];
  TokenText* text = view.answer[std::size_t(side)];
  const ChatAnswer& answer = content.answers[std::size_t(side)];
  const std::vector<TokenComparison>& compared = content.answers[1].compared;
  if (!compared.empty() && !answer.ids.empty()) {
    // A's words are walked through like B's; the tint is B's.
    const std::vector<QString> texts = token_texts(tokenizer, answer.ids);
    qsizetype said = 0;
    for (const QString& each : texts) said += each.size();
    text->setTokens(texts, side == 1 ? compared : std::vector<TokenComparison>{}, colour, answer.text.mid(said),
                    side == 1 ? answer.parts_at : std::nullopt);
  } else if (text->toPlainText() != answer.text || text->count() > 0) {
    text->setPlain(answer.text);
  }
  text->setStreaming(answer.streaming);
  QStringList facts;
  if (!answer.by.isEmpty() && answer.by != slot_title) facts << tr("by %1").arg(answer.by);
  if (!answer.ids.empty()) facts << tr("%1 tokens").arg(answer.ids.size());
  if (answer.seconds > 0) facts << format_duration(answer.seconds);
  if (answer.forced) facts << tr("forced");
  if (answer.parts_at) {
    facts << tr("⟂ paths part at token %1").arg(*answer.parts_at + 1);
  } else if (const auto summary = summarise(answer.compared)) {
    facts << tr("mean KL %1 nat").arg(format_kl(summary->mean));
  }
  if (!answer.forced && !answer.ending.isEmpty()) facts << answer.ending;
  view.info[std::size_t(side)]->setText(facts.join(QStringLiteral(" · ")));
}

void ChatTranscript::toEnd() {
  // After the layout has taken the new height.
  QTimer::singleShot(0, this, [this] { verticalScrollBar()->setValue(verticalScrollBar()->maximum()); });
}

}  // namespace lrc::app
