#pragma once
// Small widgets that several panels share: segment switch, eliding label, quiet icon button, message strip, folding section.
#include <QFrame>
#include <QIcon>
#include <QLabel>
#include <QToolButton>
#include <QWidget>
#include <functional>

class QAbstractButton;
class QButtonGroup;
class QHBoxLayout;
class QPushButton;
class QVBoxLayout;

namespace lrc::app {

/// An icon of resources/icons by name ("pin"), drawn in the text colour of the theme in force. Icons made earlier keep their
/// colour: widgets that live through a change of theme use IconButton or set the icon again.
QIcon themed_icon(const QString& name);

/// A flat 24 px tool button with a themed icon that follows changes of theme.
class IconButton : public QToolButton {
  Q_OBJECT
 public:
  IconButton(const QString& icon, const QString& tooltip, QWidget* parent = nullptr);
  void setIconName(const QString& icon);

 protected:
  void changeEvent(QEvent* event) override;

 private:
  QString icon_;
};

/// Exclusive buttons in one frame: [Map|Table|Both].
class SegmentBar : public QFrame {
  Q_OBJECT
 public:
  explicit SegmentBar(const QStringList& texts, QWidget* parent = nullptr);
  int current() const;
  void setCurrent(int index);  ///< −1: none is checked (mixed values); emits nothing
  void setText(int index, const QString& text);
  QAbstractButton* button(int index) const;

 signals:
  void chosen(int index);  ///< by the person only

 private:
  QButtonGroup* group_;
};

/// A label that never sets a minimum width: elides, and shows the whole text as its tooltip when it had to.
class ElidedLabel : public QLabel {
  Q_OBJECT
 public:
  explicit ElidedLabel(const QString& text = {}, QWidget* parent = nullptr, Qt::TextElideMode mode = Qt::ElideRight);
  QSize minimumSizeHint() const override;
  QSize sizeHint() const override;
  /// Colours by token name survive a change of theme: "text", "dim", "faint", "a", "b", "ok", "warn", "bad", "pending".
  void setRole(const QString& role);

 protected:
  void paintEvent(QPaintEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;

 private:
  void update_tooltip();
  Qt::TextElideMode mode_;
  QString role_ = "text";
  bool own_tooltip_ = true;
};

/// One sentence on a tinted ground with at most one button: a panel without its data, a problem, an offer.
class MessageStrip : public QFrame {
  Q_OBJECT
 public:
  explicit MessageStrip(QWidget* parent = nullptr);
  enum class Kind { plain, warning, bad };
  void show_message(const QString& text, Kind kind = Kind::plain, const QString& button = {}, std::function<void()> action = {});
  QPushButton* button() const { return button_; }

 protected:
  void changeEvent(QEvent* event) override;
  void paintEvent(QPaintEvent* event) override;

 private:
  QLabel* text_;
  QPushButton* button_;
  Kind kind_ = Kind::plain;
  std::function<void()> action_;
};

/// A heading that folds its content to one line of summary.
class FoldingSection : public QWidget {
  Q_OBJECT
 public:
  explicit FoldingSection(const QString& title, QWidget* parent = nullptr);
  QVBoxLayout* body() const { return body_layout_; }
  void setSummary(const QString& text);
  void setOpen(bool open);
  bool isOpen() const;

 private:
  QToolButton* header_;
  ElidedLabel* summary_;
  QWidget* body_;
  QVBoxLayout* body_layout_;
};

}  // namespace lrc::app
