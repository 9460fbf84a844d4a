// What can be checked of the look without eyes: nothing important is cut, controls do not overlap, every
// perspective can be pictured. Set LRC_LOOK_DIR to keep the pictures.
#include <QAbstractButton>
#include <QComboBox>
#include <QDockWidget>
#include <QImage>
#include <QLabel>
#include <QLayout>
#include <QLineEdit>
#include <QSpinBox>

#include "plot_style.h"
#include "screenshots.h"
#include "window_fixture.h"

namespace lrc::app::test {
namespace {

QString path_of(const QWidget* widget) {
  QStringList names;
  for (const QWidget* each = widget; each; each = each->parentWidget())
    if (!each->objectName().isEmpty()) names.prepend(each->objectName());
  return names.join('/');
}

/// What is cut: words of labels and buttons that do not fit, without a tooltip that has them whole.
QStringList cut_texts(const QWidget& window) {
  QStringList cut;
  for (const QWidget* widget : window.findChildren<QWidget*>()) {
    if (!widget->isVisible() || widget->visibleRegion().isEmpty()) continue;
    QString text;
    int needed = 0, has = widget->width();
    if (const auto* label = qobject_cast<const QLabel*>(widget)) {
      if (label->text().isEmpty() || !label->pixmap(Qt::ReturnByValue).isNull()) continue;
      text = label->text();
      if (label->wordWrap()) {
        if (label->hasHeightForWidth() && label->heightForWidth(label->width()) > label->height() + 2) cut << path_of(label) + ": " + text;
        continue;
      }
      needed = label->sizeHint().width();
    } else if (const auto* button = qobject_cast<const QAbstractButton*>(widget)) {
      if (button->text().isEmpty()) continue;
      text = button->text();
      needed = button->fontMetrics().horizontalAdvance(button->text().remove('&')) + 4;
    } else if (const auto* spin = qobject_cast<const QAbstractSpinBox*>(widget)) {
      text = spin->text();
      needed = spin->fontMetrics().horizontalAdvance(text) + 24;
    } else {
      continue;
    }
    if (needed > has + 1 && widget->toolTip().isEmpty())
      cut << QString("%1: “%2” needs %3, has %4").arg(path_of(widget), text).arg(needed).arg(has);
  }
  return cut;
}

/// Controls of one parent that lie on each other.
QStringList overlaps(const QWidget& window) {
  QStringList found;
  for (const QWidget* parent : window.findChildren<QWidget*>()) {
    if (!parent->isVisible() || !parent->layout()) continue;
    QList<const QWidget*> children;
    for (int i = 0; i < parent->layout()->count(); ++i)
      if (const QWidget* child = parent->layout()->itemAt(i)->widget(); child && child->isVisible()) children << child;
    for (int i = 0; i < children.size(); ++i)
      for (int j = i + 1; j < children.size(); ++j) {
        const QRect both = children[i]->geometry() & children[j]->geometry();
        if (both.width() > 1 && both.height() > 1) found << path_of(children[i]) + " on " + path_of(children[j]);
      }
  }
  return found;
}

TEST_F(WindowTest, LookLint) {
  open_stories();
  const bool before = is_dark();
  for (const QSize& size : {QSize(1180, 700), QSize(1280, 800), QSize(1920, 1080)})
    for (const bool dark : {false, true}) {
      set_dark(dark);
      window->resize(size);
      for (const Perspective perspective : {Perspective::explore, Perspective::run, Perspective::chat, Perspective::export_}) {
        workspace->setPerspective(perspective);
        QTest::qWait(50);
        const QString where =
            QString("%1×%2 %3 perspective %4").arg(size.width()).arg(size.height()).arg(dark ? "dark" : "light").arg(int(perspective));
        EXPECT_TRUE(cut_texts(*window).isEmpty()) << where.toStdString() << "\n" << cut_texts(*window).join('\n').toStdString();
        EXPECT_TRUE(overlaps(*window).isEmpty()) << where.toStdString() << "\n" << overlaps(*window).join('\n').toStdString();
        EXPECT_LE(window->width(), size.width()) << where.toStdString();
        EXPECT_LE(window->height(), size.height()) << where.toStdString();
        // Dock titles that stand side by side stand at one height.
        int top = -1;
        for (const QDockWidget* dock : window->findChildren<QDockWidget*>()) {
          if (!dock->isVisible() || dock->isFloating()) continue;
          const int y = dock->mapTo(window.get(), QPoint()).y();
          if (top < 0) top = y;
          if (std::abs(y - top) < 30) {
            EXPECT_EQ(y, top) << dock->objectName().toStdString() << ", " << where.toStdString();
          }
        }
      }
    }
  set_dark(before);
}

TEST_F(WindowTest, EveryPerspectiveIsPictured) {
  const QString kept = qEnvironmentVariable("LRC_LOOK_DIR");
  const QString where = kept.isEmpty() ? QString::fromStdString((folder.path() / "pictures").string()) : kept;
  const auto pictures = take_screenshots(*window, *workspace, where, stories(), {{1280, 800}});
  ASSERT_EQ(pictures.size(), 8u) << "four perspectives in two themes";
  QSet<QByteArray> different;
  for (const Screenshot& picture : pictures) {
    EXPECT_TRUE(picture.written) << picture.file.toStdString();
    const QImage image(picture.file);
    EXPECT_EQ(image.width(), 1280);
    different.insert(QByteArray(reinterpret_cast<const char*>(image.constBits()), qsizetype(image.sizeInBytes())));
  }
  EXPECT_EQ(different.size(), 8) << "no two are the same picture";
  EXPECT_TRUE(take_screenshots(*window, *workspace, "/proc/nowhere", {}).empty());
}

}  // namespace
}  // namespace lrc::app::test
