#include "panels/prompt_preview.h"

#include <QFontDatabase>
#include <QLabel>
#include <QTextEdit>
#include <QVBoxLayout>

#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "workspace.h"

namespace lrc::app {

PromptPreview::PromptPreview(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  text_ = new QTextEdit(this);
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
  count_->setTextFormat(Qt::RichText);
  column->addWidget(count_);
  delay_.setSingleShot(true);
  delay_.setInterval(250);
  connect(&delay_, &QTimer::timeout, this, &PromptPreview::ask);
}

void PromptPreview::show(PromptForm form, std::vector<ChatTurn> turns, std::size_t most, std::size_t context) {
  form_ = form;
  most_ = most;
  context_ = context;
  turns_ = std::move(turns);
  delay_.start();
}

void PromptPreview::ask() {
  if (!workspace_.hasModel() || turns_.empty() || workspace_.model()->tokenizer_problem()) {
    text_->clear();
    count_->setText(tr("What you type stands here as the model will read it."));
    return;
  }
  struct Piece {
    QString text;
    bool special;
  };
  struct Answer {
    std::vector<Piece> pieces;
    std::size_t tokens = 0, first = 0;
    bool exact = false;
  };
  // A template may take its two seconds: not on this thread.
  workspace_.queryLane().submit<Answer>(
      "prompt-preview", this,
      [model = workspace_.model(), form = form_, turns = turns_, most = most_, context = context_](Progress&, std::stop_token) {
        Answer answer;
        answer.first = first_that_fits(*model, form, turns, most, context);
        const std::vector<TokenId> ids = prompt_tokens(*model, form, turns, 0, answer.first);
        const auto tokenizer = model->tokenizer();
        answer.tokens = ids.size();
        // The BOS that stands before every text is no part of it.
        const auto bos = tokenizer->spec().bos;
        const std::vector<TokenId> said(ids.begin() + (bos && !ids.empty() && ids.front() == *bos ? 1 : 0), ids.end());
        answer.exact = tokenizer->encode(tokenizer->decode(said, false), true) == said;
        for (std::size_t i = 0; i < ids.size();) {
          // A run of plain tokens at once: a character may be spread over several.
          const bool special = tokenizer->is_special(ids[i]);
          std::size_t end = i + 1;
          while (!special && end < ids.size() && !tokenizer->is_special(ids[end])) ++end;
          const std::vector<TokenId> run(ids.begin() + std::ptrdiff_t(i), ids.begin() + std::ptrdiff_t(end));
          answer.pieces.push_back({QString::fromStdString(tokenizer->decode(run, false)), special});
          i = end;
        }
        return answer;
      },
      [this](Answer answer) {
        if (!workspace_.hasModel()) return;
        const Colours& c = colours();
        text_->clear();
        QTextCursor cursor(text_->document());
        for (const Piece& piece : answer.pieces) {
          QTextCharFormat format;
          if (piece.special) {
            format.setForeground(c.override_mark);
            format.setFontWeight(QFont::Bold);
          }
          cursor.insertText(piece.text, format);
        }
        QString facts = tr("%1 of %2 tokens").arg(answer.tokens).arg(context_);
        if (answer.exact) facts += QString(" · <span style='color:%1'>%2</span>").arg(c.ok.name(), tr("round trip exact ✓"));
        if (answer.first > 0) facts += QStringLiteral(" · ") + tr("without the first %1 turns, which do not fit").arg(answer.first);
        count_->setText(facts);
      },
      [this](const Error& error) {
        text_->clear();
        count_->setText(QString::fromUtf8(error.what()).toHtmlEscaped());
      });
}

void PromptPreview::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() == QEvent::PaletteChange) delay_.start();
}

}  // namespace lrc::app
