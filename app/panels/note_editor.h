#pragma once
// A few lines of text in a popup: notes on layers and runs. Ctrl+Enter or a click elsewhere keeps them, Esc does not.
#include <QFrame>
#include <functional>

class QPlainTextEdit;

namespace lrc::app {

class NoteEditor : public QFrame {
  Q_OBJECT
 public:
  /// Opens below `at` (global). `keep` gets the text, empty to remove the note; not called after Esc.
  static NoteEditor* open(QWidget* parent, const QPoint& at, const QString& title, const QString& text,
                          std::function<void(const QString&)> keep);

 protected:
  void hideEvent(QHideEvent* event) override;
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  NoteEditor(QWidget* parent, const QString& title, const QString& text, std::function<void(const QString&)> keep);
  QPlainTextEdit* edit_;
  std::function<void(const QString&)> keep_;
  bool cancelled_ = false;
};

}  // namespace lrc::app
