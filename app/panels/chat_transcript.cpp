#include "panels/chat_transcript.h"

#include <QClipboard>
#include <QGuiApplication>
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
  views_.clear();
  while (QLayoutItem* item = grid_->takeAt(0)) {
    delete item->widget();
    delete item;
  }
  samples_->setVisible(offer_samples);
}

void ChatTranscript::append(int side, const QString& text) {
  const QScrollBar* bar = verticalScrollBar();
  const bool at_end = bar->value() >= bar->maximum() - 4;
  views_.back().answer[std::size_t(side)]->append(text);
  if (at_end) toEnd();
}

void ChatTranscript::emptyLast() {
  for (int side = 0; side < 2; ++side) {
    views_.back().answer[std::size_t(side)]->setPlain({});
    views_.back().info[std::size_t(side)]->clear();
  }
}

QWidget* ChatTranscript::makeSamples() {
  samples_ = new QWidget(page_);
  samples_->setObjectName("samplePrompts");
  auto* column = new QVBoxLayout(samples_);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  column->addWidget(make_dim_label(tr("Both answer the same prompt, side by side. Type one below, or take one of these:"), samples_));
  for (const QString& prompt : sample_prompts()) {
    auto* button = new QPushButton(prompt, samples_);
    button->setFlat(true);
    button->setStyleSheet("text-align: left; padding: 4px 8px;");
    column->addWidget(button, 0, Qt::AlignLeft);
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
    auto* foot = new QWidget(page_);
    auto* line = new QHBoxLayout(foot);
    line->setContentsMargins(0, 0, 0, 8);
    line->setSpacing(4);
    auto* copy = new IconButton("copy", tr("Copy the answer"), foot);
    line->addWidget(copy);
    if (side == 0) {
      view.regenerate = new IconButton("refresh", tr("Answer again  Ctrl+R"), foot);
      view.regenerate->setObjectName("chatRegenerate");
      line->addWidget(view.regenerate);
      connect(view.regenerate, &QToolButton::clicked, this, &ChatTranscript::regenerateAsked);
    }
    view.info[s] = make_dim_label({}, foot);
    view.info[s]->setFont(font_of_points(font(), 8));
    view.info[s]->setWordWrap(true);
    line->addWidget(view.info[s], 1);
    grid_->addWidget(foot, row + 2, side, Qt::AlignTop);
    TokenText* text = view.answer[s];
    connect(copy, &QToolButton::clicked, this, [text] { QGuiApplication::clipboard()->setText(text->toPlainText()); });
    connect(text, &TokenText::pointedAt, this, [this, turn = views_.size()](int token) { emit pointedAt(turn, token); });
  }
  for (TurnView& older : views_) older.regenerate->hide();  // only the last turn can be answered again
  views_.push_back(view);
  toEnd();
}

void ChatTranscript::showAnswer(std::size_t turn, int side, const ChatAnswer& answer, const Tokenizer& tokenizer, TokenColour colour) {
  TurnView& view = views_[turn];
  TokenText* text = view.answer[std::size_t(side)];
  if (!answer.compared.empty())
    text->setTokens(token_texts(tokenizer, answer.ids), answer.compared, colour);
  else if (text->toPlainText() != answer.text)
    text->setPlain(answer.text);
  QStringList facts;
  if (!answer.ids.empty()) facts << tr("%1 tokens").arg(answer.ids.size());
  if (answer.seconds > 0) facts << format_duration(answer.seconds);
  const auto summary = summarise(answer.compared);
  if (answer.forced) facts << tr("forced");
  if (summary) facts << tr("mean KL %1 nat").arg(format_kl(summary->mean));
  if (!answer.forced && !answer.ending.isEmpty()) facts << answer.ending;
  view.info[std::size_t(side)]->setText(facts.join(QStringLiteral(" · ")));
}

void ChatTranscript::toEnd() {
  // After the layout has taken the new height.
  QTimer::singleShot(0, this, [this] { verticalScrollBar()->setValue(verticalScrollBar()->maximum()); });
}

}  // namespace lrc::app
