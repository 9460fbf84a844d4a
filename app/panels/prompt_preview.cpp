#include "panels/prompt_preview.h"

#include <QFontDatabase>
#include <QLabel>
#include <QPlainTextEdit>
#include <QVBoxLayout>

#include "panels/panel_widgets.h"
#include "workspace.h"

namespace lrc::app {

PromptPreview::PromptPreview(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  text_ = new QPlainTextEdit(this);
  text_->setObjectName("templatePreview");
  text_->setAccessibleName(tr("What the model is given"));
  text_->setReadOnly(true);
  text_->setTabChangesFocus(true);
  QFont fixed = QFontDatabase::systemFont(QFontDatabase::FixedFont);
  fixed.setPointSizeF(8);
  text_->setFont(fixed);
  text_->setFixedHeight(7 * QFontMetrics(fixed).lineSpacing() + 8);
  column->addWidget(text_);
  count_ = make_dim_label({}, this);
  count_->setObjectName("templateCount");
  count_->setWordWrap(true);
  column->addWidget(count_);
  delay_.setSingleShot(true);
  delay_.setInterval(250);
  connect(&delay_, &QTimer::timeout, this, &PromptPreview::ask);
}

void PromptPreview::show(PromptForm form, std::vector<ChatTurn> turns) {
  form_ = form;
  turns_ = std::move(turns);
  delay_.start();
}

void PromptPreview::ask() {
  if (!workspace_.hasModel() || turns_.empty() || workspace_.model()->tokenizer_problem()) {
    text_->clear();
    count_->setText(tr("What you type stands here as the model will read it."));
    return;
  }
  struct Answer {
    QString text;
    std::size_t tokens = 0;
    bool exact = false;
  };
  // A template may take its two seconds: not on this thread.
  workspace_.queryLane().submit<Answer>(
      "prompt-preview", this,
      [model = workspace_.model(), form = form_, turns = turns_](Progress&, std::stop_token) {
        const std::vector<TokenId> ids = prompt_tokens(*model, form, turns, turns.size() - 1, 0);
        const std::string text = model->tokenizer()->decode(ids, false);
        return Answer{QString::fromStdString(text), ids.size(), QString::fromStdString(text).contains(turns.back().prompt)};
      },
      [this](Answer answer) {
        text_->setPlainText(answer.text);
        const std::size_t limit = workspace_.hasModel() ? workspace_.model()->config().context : 0;
        count_->setText(
            tr("%1 tokens of %2%3").arg(answer.tokens).arg(limit).arg(answer.exact ? tr(", your words come back exactly") : QString()));
      },
      [this](const Error& error) {
        text_->clear();
        count_->setText(QString::fromUtf8(error.what()));
      });
}

}  // namespace lrc::app
