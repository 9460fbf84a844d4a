#pragma once
// An answer as text whose tokens can be tinted, underlined, pointed at and walked through; and the popover that shows what both
// models thought at one token.
#include <QFrame>
#include <QTextEdit>
#include <optional>
#include <vector>

#include "inference/generate.h"

namespace lrc::app {

enum class TokenColour { kl, probability, off, rank };  // as the settings and sessions number them

class TokenText : public QTextEdit {
  Q_OBJECT
 public:
  explicit TokenText(QWidget* parent);
  void append(const QString& text);  ///< while it streams
  void setPlain(const QString& text);
  /// `rest`: what follows the tokens (the part of one that a stop string cut); `parts_at`: before this one the paths part.
  void setTokens(const std::vector<QString>& texts, const std::vector<TokenComparison>& compared, TokenColour colour,
                 const QString& rest = {}, std::optional<std::size_t> parts_at = {});
  void setStreaming(bool streaming);  ///< a caret stands behind the text
  void setGrey(bool grey);            ///< no longer read
  void setPinned(bool pinned);        ///< the current token stays, wherever the pointer is
  bool isPinned() const { return pinned_; }
  int tokenAt(const QPoint& viewport_position) const;  ///< −1: none
  QRect rectOf(int token) const;                       ///< of its first line, in viewport coordinates
  void setCurrent(int token);
  int current() const { return current_; }
  int count() const { return int(ends_.size()); }
  QSize sizeHint() const override;

 signals:
  void pointedAt(int token);  ///< by pointer or keys; −1: left
  void pinToggled(bool pinned);
  void continueAsked(int token);  ///< Enter on it

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void focusOutEvent(QFocusEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void leaveEvent(QEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;

 private:
  void fit();
  void point(int token);
  std::vector<int> ends_;  ///< character position behind each token
  std::vector<TokenComparison> compared_;
  std::optional<std::size_t> parts_at_;
  int current_ = -1;
  bool streaming_ = false, pinned_ = false;
};

/// "token 34 " that"": the five likeliest of A and of B as paired bars.
class TokenPopover : public QFrame {
 public:
  explicit TokenPopover(QWidget* parent);
  struct Row {
    QString text;
    double a = 0, b = 0;
    bool a_is_bound = false, b_is_bound = false;  ///< not among that side's five likeliest: below this
  };
  /// `foot`: what the keys do.
  void show(int index, const QString& token, const TokenComparison& compared, std::vector<Row> rows, const QString& foot,
            const QPoint& global);
  const std::vector<Row>& rows() const { return rows_; }
  QSize sizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  int index_ = 0;
  QString token_;
  TokenComparison compared_;
  std::vector<Row> rows_;
  QString foot_;
};

/// B's colour for a divergence: nothing below 0.1 nat, full at 2.
QColor tint_of(double kl);
/// The measure on that scale: KL as it is, a change of 100 points as 2, the 32nd place (by its logarithm) as 2.
double tint_strength(const TokenComparison& token, TokenColour colour);

}  // namespace lrc::app
