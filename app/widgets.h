#pragma once
// Small widgets of the frame and the recipe: icons in the text colour, quiet buttons that carry one, folding sections.
#include <QComboBox>
#include <QIcon>
#include <QToolButton>
#include <QWidget>

class QVBoxLayout;

namespace lrc::app {

class ElidedLabel;

/// An icon of resources/icons by name ("pin"), drawn in the text colour of the theme in force. Icons made earlier keep their
/// colour: widgets that live through a change of theme use IconButton or set the icon again.
QIcon themed_icon(const QString& name);

/// A flat 24 px tool button with a themed icon that follows changes of theme.
class IconButton : public QToolButton {
  Q_OBJECT
 public:
  IconButton(const QString& icon, const QString& tooltip, QWidget* parent = nullptr);

 protected:
  void changeEvent(QEvent* event) override;

 private:
  QString icon_;
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
  void setOpen(bool open);
  bool isOpen() const;

 private:
  QToolButton* header_;
  ElidedLabel* summary_;
  QWidget* body_;
  QVBoxLayout* body_layout_;
};

}  // namespace lrc::app
