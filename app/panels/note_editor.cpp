#include "panels/note_editor.h"

#include <QKeyEvent>
#include <QLabel>
#include <QPlainTextEdit>
#include <QVBoxLayout>

#include "panels/panel_widgets.h"

namespace lrc::app {

NoteEditor* NoteEditor::open(QWidget* parent, const QPoint& at, const QString& title, const QString& text,
                             std::function<void(const QString&)> keep) {
  auto* editor = new NoteEditor(parent, title, text, std::move(keep));
  editor->move(at);
  editor->show();
  editor->edit_->setFocus(Qt::PopupFocusReason);
  return editor;
}

NoteEditor::NoteEditor(QWidget* parent, const QString& title, const QString& text, std::function<void(const QString&)> keep)
    : QFrame(parent, Qt::Popup), keep_(std::move(keep)) {
  setObjectName("noteEditor");
  setAttribute(Qt::WA_DeleteOnClose);
  setFrameShape(QFrame::StyledPanel);
  setAutoFillBackground(true);
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(8, 8, 8, 8);
  column->setSpacing(4);
  auto* heading = new QLabel(title, this);
  heading->setFont(font_of_points(font(), 9, true));
  column->addWidget(heading);
  edit_ = new QPlainTextEdit(text, this);
  edit_->setObjectName("noteText");
  edit_->setAccessibleName(title);
  edit_->setPlaceholderText(tr("Kept in the session"));
  edit_->setFixedSize(320, 4 * edit_->fontMetrics().lineSpacing() + 12);
  edit_->setTabChangesFocus(true);
  edit_->moveCursor(QTextCursor::End);
  edit_->installEventFilter(this);
  column->addWidget(edit_);
  column->addWidget(make_dim_label(tr("Ctrl+Enter keeps it, Esc does not"), this));
}

bool NoteEditor::eventFilter(QObject* watched, QEvent* event) {
  if (watched == edit_ && event->type() == QEvent::KeyPress) {
    const auto* key = static_cast<QKeyEvent*>(event);
    const bool enter = key->key() == Qt::Key_Return || key->key() == Qt::Key_Enter;
    if (key->key() == Qt::Key_Escape || (enter && key->modifiers() & Qt::ControlModifier)) {
      cancelled_ = !enter;
      close();
      return true;
    }
  }
  return QFrame::eventFilter(watched, event);
}

void NoteEditor::hideEvent(QHideEvent* event) {
  QFrame::hideEvent(event);
  if (cancelled_ || !keep_) return;
  // Once: a popup may be hidden again while it is deleted.
  std::exchange(keep_, nullptr)(edit_->toPlainText());
}

}  // namespace lrc::app
