#pragma once
// Small widgets of the frame and the recipe: icons in the text colour, quiet buttons that carry one, folding sections.
#include <QComboBox>
#include <QIcon>
#include <QLineEdit>
#include <QPushButton>
#include <QToolButton>
#include <QWidget>

class QVBoxLayout;

namespace lrc::app {

class ElidedLabel;

/// An icon of resources/icons by name ("pin"), drawn in the text colour of the theme that is in force when it is painted.
QIcon themed_icon(const QString& name);

/// A flat 24 px tool button with a themed icon.
class IconButton : public QToolButton {
  Q_OBJECT
 public:
  IconButton(const QString& icon, const QString& tooltip, QWidget* parent = nullptr);
};

/// One of several exclusive buttons that stand in one frame; compact ones may become as narrow as their text.
class SegmentButton : public QToolButton {
  Q_OBJECT
 public:
  explicit SegmentButton(const QString& text, bool compact, QWidget* parent = nullptr);
  void setLast(bool last);  ///< draws the right edge of the frame
  QSize sizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  bool compact_, last_ = false;
};

/// A line of text that can be clicked: flat, its words at the left.
class LineButton : public QPushButton {
  Q_OBJECT
 public:
  explicit LineButton(const QString& text, QWidget* parent = nullptr);
  QSize sizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;
};

/// A line for a filter: green while what it says can be read, red while it cannot, plain when it is empty.
class FilterField : public QLineEdit {
  Q_OBJECT
 public:
  enum class State { plain, valid, invalid };
  using QLineEdit::QLineEdit;
  void setState(State state);
  State state() const { return state_; }

 protected:
  void changeEvent(QEvent* event) override;

 private:
  void tint();
  QColor ground() const;
  State state_ = State::plain;
};

/// A combo box whose text ends in … where the box is too narrow for it; the whole of it is the tooltip.
class ElidedCombo : public QComboBox {
  Q_OBJECT
 public:
  using QComboBox::QComboBox;

 protected:
  void paintEvent(QPaintEvent* event) override;
  bool event(QEvent* event) override;
};

/// A heading that folds its content to one line of summary.
class FoldingSection : public QWidget {
  Q_OBJECT
 public:
  explicit FoldingSection(const QString& title, QWidget* parent = nullptr);
  QVBoxLayout* body() const { return body_layout_; }
  void setSummary(const QString& text);
  void setHeadless();  ///< always open, without its heading
  void setOpen(bool open);
  bool isOpen() const;

 private:
  QToolButton* header_;
  ElidedLabel* summary_;
  QWidget* body_;
  QVBoxLayout* body_layout_;
};

/// The wheel scrolls what a field stands in; only with Ctrl it changes the field's value. Installed on the application, once.
class WheelGuard : public QObject {
  Q_OBJECT
 public:
  using QObject::QObject;
  bool eventFilter(QObject* watched, QEvent* event) override;
};

}  // namespace lrc::app
