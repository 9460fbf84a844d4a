#pragma once
// The few widgets that every panel is laid out with: title controls, elided text, the notice that stands where data is missing,
// exclusive switches, readout cells.
#include <QButtonGroup>
#include <QGridLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QToolButton>
#include <QWidget>
#include <functional>
#include <vector>

namespace lrc::app {

/// One line that never asks for its full width: elided in the middle or at the right, the whole of it in the tooltip.
class ElidedLabel : public QWidget {
 public:
  explicit ElidedLabel(const QString& text = {}, Qt::TextElideMode mode = Qt::ElideRight, QWidget* parent = nullptr);
  void setText(const QString& text);
  QString text() const { return text_; }
  void setBold(bool bold);
  void setDim(bool dim);
  QSize sizeHint() const override;
  QSize minimumSizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;

 private:
  void updateTip();
  QString text_;
  Qt::TextElideMode mode_;
  bool dim_ = false;
};

/// The first row of a panel: dim context at the left, small controls at the right. Its object name is "titleControls"; the frame
/// moves it into the title bar of the dock.
class TitleControls : public QWidget {
 public:
  explicit TitleControls(QWidget* parent);
  void setContext(const QString& text) { context_->setText(text); }
  void add(QWidget* control);

 private:
  ElidedLabel* context_;
  QHBoxLayout* row_;
};

/// A sentence and at most one button: what a panel shows where data is missing, or above data that needs a remark.
class Notice : public QWidget {
 public:
  enum class Tone { plain, good, warning, bad };
  explicit Notice(QWidget* parent);
  void say(const QString& sentence, Tone tone = Tone::plain, const QString& button = {}, std::function<void()> action = {});
  void clear();
  QString sentence() const { return label_->text(); }
  QPushButton* button() { return button_; }

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  QLabel* label_;
  QPushButton* button_;
  std::function<void()> action_;
  Tone tone_ = Tone::plain;
};

/// Exclusive tool buttons in one frame.
class SegmentSwitch : public QWidget {
 public:
  SegmentSwitch(const QString& accessible_name, QWidget* parent);
  void addSegment(int id, const QString& text, const QString& tip = {});
  int current() const { return group_->checkedId(); }
  void setCurrent(int id);
  void setSegmentEnabled(int id, bool enabled, const QString& why = {});
  std::function<void(int)> on_change;

 private:
  QButtonGroup* group_;
  QHBoxLayout* row_;
};

/// Cells of a name (dim) above a value (10 pt bold), at fixed columns so that nothing moves when a number gains a digit.
class ReadoutRow : public QWidget {
 public:
  explicit ReadoutRow(QWidget* parent);
  int addCell(const QString& name, const QString& widest);
  void setValue(int cell, const QString& value, const QString& tip = {});
  QString value(int cell) const { return values_[std::size_t(cell)]->text(); }
  void setCellVisible(int cell, bool visible);
  void setName(int cell, const QString& name) { names_[std::size_t(cell)]->setText(name); }
  void setItalic(int cell, bool italic);  ///< of an estimate

 private:
  QGridLayout* grid_;
  std::vector<QLabel*> names_, values_;
};

QToolButton* make_tool_button(const QString& object_name, const QString& text, const QString& tip, QWidget* parent);
/// Takes all widgets out of a layout. They go a moment later: what was clicked in one of them may be what asks for this.
void clear_layout(QLayout& layout);
QLabel* make_dim_label(const QString& text, QWidget* parent);
QFont font_of_points(const QFont& base, double points, bool bold = false);
/// Margin 8, gap 8: the column that each panel is.
QVBoxLayout* make_panel_layout(QWidget* panel);
/// Text with a stress on some words, from numbers: "<b>58.5 %</b> of …" as rich text in a wrapping label.
QLabel* make_sentence(const QString& object_name, QWidget* parent);

}  // namespace lrc::app
