#pragma once
// What the start page is laid out with: cards, and the list of recent files with two lines an entry.
#include <QFrame>
#include <QListWidget>
#include <QStyledItemDelegate>

namespace lrc::app {

/// White, one line around: what lists and samples stand on.
class Card : public QFrame {
 public:
  explicit Card(QWidget* parent, bool dashed = false) : QFrame(parent), dashed_(dashed) {}

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  bool dashed_;
};

/// Name, facts (UserRole + 1), a date at the right (UserRole + 3): two lines of 40 px; dim where the file is missing (UserRole + 2).
class RecentDelegate : public QStyledItemDelegate {
 public:
  using QStyledItemDelegate::QStyledItemDelegate;
  QSize sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const override;
  void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override;
};

/// Says what will stand here while nothing does.
class RecentList : public QListWidget {
 public:
  using QListWidget::QListWidget;

 protected:
  void paintEvent(QPaintEvent* event) override;
};

}  // namespace lrc::app
