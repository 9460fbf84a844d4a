#pragma once
// A page that stands where a model would and waits for an answer: a column with a heading, a row of buttons below, Esc leaves.
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QVBoxLayout>
#include <QWidget>
#include <functional>

namespace lrc::app {

class PageFrame : public QWidget {
 public:
  PageFrame(const char* object_name, const QString& accessible_name, QWidget* parent);

 protected:
  QVBoxLayout* column() { return column_; }
  /// The heading of the page, which wraps; `before` stands at its left.
  QLabel* addTitle(const char* object_name, QWidget* before = nullptr);
  QLabel* addText(const char* object_name);
  /// The row of buttons ends the page: to be called when all else is there.
  QPushButton* addButton(const char* object_name, const QString& text, std::function<void()> what);
  void addButtonSpace();
  virtual void leave() = 0;  ///< Esc
  void keyPressEvent(QKeyEvent* event) override;

 private:
  QHBoxLayout* buttons();
  QVBoxLayout* column_;
  QHBoxLayout* buttons_ = nullptr;
};

}  // namespace lrc::app
