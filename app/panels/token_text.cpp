#include "panels/token_text.h"

#include <QAbstractTextDocumentLayout>
#include <QKeyEvent>
#include <QPainter>
#include <QScrollBar>
#include <QTextBlock>
#include <cmath>

#include "models/conversation.h"
#include "panels/panel_widgets.h"
#include "panels/run_table_view.h"
#include "plot_style.h"

namespace lrc::app {

namespace {
constexpr double least_tint = 0.1, full_tint = 2.0;  // nat
constexpr double full_rank = 32;
constexpr double worth_a_jump = 0.5;  // nat

/// Below what can be shown, and where only a bound is known, "<".
QString percent_text(double probability, bool bound) {
  const bool tiny = probability < 0.0005;
  return QString("%1%2 %").arg(bound || tiny ? "< " : "").arg(tiny ? 0.1 : 100 * probability, 0, 'f', probability < 0.0995 ? 1 : 0);
}

}  // namespace

QColor tint_of(double kl) {
  QColor colour = colours().b_fill;
  // On a dark ground the tint is the light one: it may not come near the letters.
  const double least = is_dark() ? 0.1 : 0.15, most = is_dark() ? 0.45 : 0.75;
  colour.setAlphaF(kl < least_tint ? 0.0f : float(least + (most - least) * std::min(kl, full_tint) / full_tint));
  return colour;
}

double tint_strength(const TokenComparison& token, TokenColour colour) {
  switch (colour) {
    case TokenColour::kl:
      return token.kl;
    case TokenColour::probability:
      return full_tint * std::abs(token.probability_first - token.probability_second);
    case TokenColour::rank:
      return full_tint * std::log2(double(token.rank_second)) / std::log2(full_rank);
    case TokenColour::off:
      break;
  }
  return 0;
}

TokenText::TokenText(QWidget* parent) : QTextEdit(parent) {
  setReadOnly(true);
  setFrameShape(QFrame::NoFrame);
  setVerticalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  setMouseTracking(true);
  viewport()->setMouseTracking(true);
  viewport()->setAutoFillBackground(false);
  setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
  setFont(font_of_points(font(), 10));
  setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  setTabChangesFocus(true);
  document()->setDocumentMargin(2);
  connect(document()->documentLayout(), &QAbstractTextDocumentLayout::documentSizeChanged, this, [this] { fit(); });
  fit();
}

QSize TokenText::sizeHint() const { return {200, height()}; }

void TokenText::fit() {
  const int wanted = std::max(int(std::ceil(document()->size().height())), fontMetrics().height() + 6);
  if (wanted != height()) setFixedHeight(wanted);
}

void TokenText::resizeEvent(QResizeEvent* event) {
  QTextEdit::resizeEvent(event);
  fit();
}

void TokenText::wheelEvent(QWheelEvent* event) { event->ignore(); }  // the conversation scrolls, not its answers

void TokenText::append(const QString& text) {
  QTextCursor cursor(document());
  cursor.movePosition(QTextCursor::End);
  cursor.insertText(text, QTextCharFormat());
}

void TokenText::setPlain(const QString& text) {
  ends_.clear();
  compared_.clear();
  parts_at_.reset();
  current_ = -1;
  setPinned(false);
  setPlainText(text);
}

void TokenText::setTokens(const std::vector<QString>& texts, const std::vector<TokenComparison>& compared, TokenColour colour,
                          const QString& rest, std::optional<std::size_t> parts_at) {
  clear();
  ends_.clear();
  compared_ = compared;
  parts_at_ = parts_at;
  current_ = -1;
  setPinned(false);
  QTextCursor cursor(document());
  cursor.beginEditBlock();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    QTextCharFormat format;
    if (i < compared.size()) {
      const TokenComparison& token = compared[i];
      if (colour != TokenColour::off) format.setBackground(tint_of(tint_strength(token, colour)));
      if (!same_top(token) && colour != TokenColour::off) {
        format.setFontUnderline(true);
        format.setUnderlineColor(colours().text);
      }
    }
    cursor.insertText(texts[i], format);
    ends_.push_back(cursor.position());
  }
  cursor.insertText(rest, QTextCharFormat());
  cursor.endEditBlock();
}

void TokenText::setStreaming(bool streaming) {
  streaming_ = streaming;
  viewport()->update();
}

void TokenText::setGrey(bool grey) {
  QPalette shades;  // what is not set here follows the theme
  if (grey) shades.setColor(QPalette::Text, colours().faint);
  setPalette(shades);
}

void TokenText::setPinned(bool pinned) {
  if (pinned == pinned_) return;
  pinned_ = pinned;
  emit pinToggled(pinned);
}

void TokenText::paintEvent(QPaintEvent* event) {
  QTextEdit::paintEvent(event);
  QPainter painter(viewport());
  QTextCursor cursor(document());
  if (streaming_) {
    cursor.movePosition(QTextCursor::End);
    const QRect end = cursorRect(cursor);
    painter.fillRect(QRect(end.left() + 1, end.top() + 2, 2, end.height() - 4), colours().text);
  }
  if (parts_at_ && *parts_at_ <= ends_.size()) {
    cursor.setPosition(*parts_at_ == 0 ? 0 : ends_[*parts_at_ - 1]);
    const QRect at = cursorRect(cursor);
    // ⟂: the path that both went, and the one that is B's own.
    painter.setPen(QPen(colours().b_text, 2));
    painter.drawLine(at.left(), at.top() + 1, at.left(), at.bottom() - 1);
    painter.drawLine(at.left() - 4, at.bottom() - 1, at.left() + 4, at.bottom() - 1);
  }
}

int TokenText::tokenAt(const QPoint& position) const {
  if (ends_.empty()) return -1;
  const int character = document()->documentLayout()->hitTest(
      QPointF(position) + QPointF(horizontalScrollBar()->value(), verticalScrollBar()->value()), Qt::ExactHit);
  if (character < 0) return -1;
  const auto end = std::upper_bound(ends_.begin(), ends_.end(), character);
  return end == ends_.end() ? -1 : int(end - ends_.begin());
}

QRect TokenText::rectOf(int token) const {
  if (token < 0 || token >= count()) return {};
  QTextCursor cursor(document());
  cursor.setPosition(token == 0 ? 0 : ends_[std::size_t(token) - 1]);
  const QRect first = cursorRect(cursor);
  cursor.setPosition(ends_[std::size_t(token)]);
  const QRect last = cursorRect(cursor);
  return last.top() == first.top() ? first.united(last) : first;
}

void TokenText::setCurrent(int token) {
  current_ = token;
  QList<ExtraSelection> marks;
  if (token >= 0 && token < count()) {
    ExtraSelection mark;
    mark.cursor = QTextCursor(document());
    mark.cursor.setPosition(token == 0 ? 0 : ends_[std::size_t(token) - 1]);
    mark.cursor.setPosition(ends_[std::size_t(token)], QTextCursor::KeepAnchor);
    mark.format.setBackground(colours().b_fill);
    mark.format.setForeground(colours().base);
    marks << mark;
  }
  setExtraSelections(marks);
}

void TokenText::point(int token) {
  setCurrent(token);
  emit pointedAt(token);
}

void TokenText::mouseMoveEvent(QMouseEvent* event) {
  QTextEdit::mouseMoveEvent(event);
  const int token = tokenAt(event->pos());
  if (!pinned_ && token != current_) point(token);
}

void TokenText::mousePressEvent(QMouseEvent* event) {
  QTextEdit::mousePressEvent(event);
  setPinned(false);
  if (const int token = tokenAt(event->pos()); token != current_) point(token);
}

void TokenText::leaveEvent(QEvent* event) {
  QTextEdit::leaveEvent(event);
  if (!pinned_) point(-1);
}

void TokenText::focusOutEvent(QFocusEvent* event) {
  QTextEdit::focusOutEvent(event);
  if (!pinned_ && current_ >= 0 && !underMouse()) point(-1);
}

void TokenText::keyPressEvent(QKeyEvent* event) {
  if (current_ >= 0 && event->modifiers() == Qt::NoModifier && event->key() == Qt::Key_Space) return setPinned(!pinned_);
  if (current_ >= 0 && (event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter)) {
    emit continueAsked(current_);
    return;
  }
  const int step = event->key() == Qt::Key_Right ? 1 : event->key() == Qt::Key_Left ? -1 : 0;
  if (step == 0 || count() == 0) return QTextEdit::keyPressEvent(event);
  int token = std::clamp(current_ + step, 0, count() - 1);
  if (event->modifiers() & Qt::ControlModifier) {  // the next token where the models part; where there is none, none
    const auto parts = [&](int at) { return std::size_t(at) < compared_.size() && compared_[std::size_t(at)].kl > worth_a_jump; };
    int at = current_ < 0 ? (step > 0 ? 0 : count() - 1) : current_ + step;
    while (at >= 0 && at < count() && !parts(at)) at += step;
    if (at < 0 || at >= count()) return;
    token = at;
  }
  point(token);
}

TokenPopover::TokenPopover(QWidget* parent) : QFrame(parent, Qt::ToolTip) {
  setObjectName("tokenPopover");
  setAttribute(Qt::WA_ShowWithoutActivating);
  setFrameShape(QFrame::Box);
}

QSize TokenPopover::sizeHint() const {
  const int words = QFontMetrics(font_of_points(font(), 8)).horizontalAdvance(foot_) + 20;
  return {std::max(320, words), 72 + 20 * int(rows_.size())};
}

void TokenPopover::show(int index, const QString& token, const TokenComparison& compared, std::vector<Row> rows, const QString& foot,
                        const QPoint& global) {
  index_ = index;
  token_ = token;
  compared_ = compared;
  rows_ = std::move(rows);
  foot_ = foot;
  QStringList words;
  for (const Row& row : rows_) words << tr("“%1” A %2 % B %3 %").arg(row.text).arg(100 * row.a, 0, 'f', 1).arg(100 * row.b, 0, 'f', 1);
  setAccessibleName(tr("Token %1").arg(index + 1));
  setAccessibleDescription(words.join(", ") + ". " + foot_);
  resize(sizeHint());
  move(global);
  QFrame::show();
  update();
}

void TokenPopover::paintEvent(QPaintEvent*) {
  const Colours& c = colours();
  QPainter painter(this);
  painter.fillRect(rect(), c.base);
  painter.setPen(c.line);
  painter.drawRect(rect().adjusted(0, 0, -1, -1));
  painter.setPen(c.text);
  painter.setFont(font_of_points(font(), 9, true));
  painter.drawText(QRect(8, 4, width() - 16, 20), Qt::AlignLeft | Qt::AlignVCenter, tr("token %1   “%2”").arg(index_ + 1).arg(token_));
  painter.setFont(font_of_points(font(), 8));
  painter.setPen(c.dim);
  const double change = 100 * (compared_.probability_second - compared_.probability_first);
  painter.drawText(QRect(8, 4, width() - 16, 20), Qt::AlignRight | Qt::AlignVCenter,
                   tr("KL %1 nat   Δp %2%3 pt")
                       .arg(format_kl(compared_.kl), change < 0 ? QStringLiteral("−") : QStringLiteral("+"))
                       .arg(std::abs(change), 0, 'f', 0));
  const int text_width = 104, bar_width = 52, number_width = 44;
  const int a = text_width, b = text_width + bar_width + number_width + 8;
  draw_badge(painter, QRect(a, 26, 16, 16), true);
  draw_badge(painter, QRect(b, 26, 16, 16), false);
  const QFont fixed = [&] {
    QFont f = QFontDatabase::systemFont(QFontDatabase::FixedFont);
    f.setPointSizeF(font().pointSizeF());
    return f;
  }();
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const int y = 46 + 20 * int(i);
    painter.setFont(fixed);
    painter.setPen(c.text);
    painter.drawText(QRect(8, y, text_width - 12, 20), Qt::AlignLeft | Qt::AlignVCenter,
                     painter.fontMetrics().elidedText(QString("“%1”").arg(rows_[i].text), Qt::ElideRight, text_width - 12));
    painter.setFont(font_of_points(font(), 8));
    for (const auto& [x, value, bound, colour] :
         {std::tuple{a, rows_[i].a, rows_[i].a_is_bound, c.a_fill}, std::tuple{b, rows_[i].b, rows_[i].b_is_bound, c.b_fill}}) {
      if (!bound) painter.fillRect(QRectF(x, y + 5, std::max(1.0, bar_width * value), 10), colour);
      painter.drawText(QRect(x + bar_width, y, number_width, 20), Qt::AlignRight | Qt::AlignVCenter, percent_text(value, bound));
    }
  }
  painter.setPen(c.dim);
  const QRect foot(8, height() - 22, width() - 16, 20);
  painter.drawText(foot, Qt::AlignLeft | Qt::AlignVCenter, painter.fontMetrics().elidedText(foot_, Qt::ElideRight, foot.width()));
}

}  // namespace lrc::app
