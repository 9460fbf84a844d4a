#pragma once
// The low-rank branch of B, live: on or bypassed, muted per block and half, cut to its first components.
#include <QLabel>
#include <QPushButton>
#include <QSlider>
#include <QWidget>
#include <vector>

#include "model/transformer.h"
#include "panels/panel_widgets.h"

namespace lrc::app {

/// One cell per block × {attention, MLP}. Click mutes, Alt+click solos, drag paints.
class MuteGrid : public QWidget {
  Q_OBJECT
 public:
  explicit MuteGrid(QWidget* parent);
  void setBlocks(int blocks);
  const std::vector<bool>& attention() const { return muted_[0]; }
  const std::vector<bool>& mlp() const { return muted_[1]; }
  int mutedCount() const;
  void clear();
  QSize sizeHint() const override { return {300, 54}; }

 signals:
  void changed();

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;

 private:
  bool cellAt(const QPoint& position, int& row, int& block) const;
  QRect cell(int row, int block) const;
  void solo();
  std::vector<bool> muted_[2];
  bool painting_ = false, paint_value_ = false;
  int focus_row_ = 0, focus_block_ = 0;
};

class BranchBox : public QWidget {
  Q_OBJECT
 public:
  explicit BranchBox(QWidget* parent);
  /// `largest_rank` 0: B has no branch; `why_not` says so.
  void setBranch(int blocks, int largest_rank, const QString& why_not);
  BranchControl control() const;
  void toggleBypass();

 signals:
  void changed();

 private:
  void follow();
  SegmentSwitch* switch_;
  QLabel *muted_, *why_not_, *components_text_;
  QPushButton* clear_;
  MuteGrid* grid_;
  QSlider* components_;
  QWidget* body_;
};

}  // namespace lrc::app
