#pragma once
// One cursor through several plots with the same x axis: a line in each, and between them a tag "◂ rank 115 ▸" that can be
// dragged, stepped with the keys, or typed over.
#include <qcustomplot.h>

#include <QLineEdit>
#include <QPointer>
#include <vector>

namespace lrc::app {

class RankCursor : public QWidget {
  Q_OBJECT
 public:
  explicit RankCursor(QWidget* parent);
  /// The plot draws the line; pressing the left button anywhere in it takes the cursor. Keys of the plot come here too.
  void attach(QCustomPlot* plot);
  void setMaximum(int rank);
  void setRank(int rank);  ///< shows; tells nobody
  int rank() const { return rank_; }
  int maximum() const { return maximum_; }
  void setSnaps(std::vector<int> ranks) { snaps_ = std::move(ranks); }
  void recolour();

  QSize sizeHint() const override { return {120, 24}; }

 signals:
  /// The person moved it. Moves of one drag (or of one held key) carry the same gesture number.
  void moved(int rank, int gesture);

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;
  bool eventFilter(QObject* object, QEvent* event) override;

 private:
  void choose(int rank);
  void dragTo(const QPoint& global);
  void startTyping(const QString& first);
  QRect tag() const;

  struct Line {
    QPointer<QCustomPlot> plot;
    QCPItemStraightLine* item;
  };
  std::vector<Line> lines_;
  std::vector<int> snaps_;
  int rank_ = 0, maximum_ = 0, gesture_ = 0;
  bool dragging_ = false;
  QLineEdit* typed_;
};

}  // namespace lrc::app
