#pragma once
// The two plots of the spectrum panel over one rank axis, with the cursor between them: eigenvalues of the error above, error
// by rank below. Draws from arrays in memory only.
#include <qcustomplot.h>

#include <QLabel>
#include <QWidget>
#include <memory>

#include "models/prediction.h"
#include "panels/label_placer.h"
#include "panels/rank_cursor.h"
#include "workspace.h"

namespace lrc::app {

struct ShownLayer {
  int layer = -1;
  LayerScheme scheme;                                             ///< of the draft
  std::shared_ptr<const LayerSpectrum> spectrum, reference = {};  ///< of B, and of A where it is another run
  std::optional<Prediction> prediction = {};                      ///< of a new solve, where B says anything about it
};
/// More layers than this are drawn as a median with a band.
inline constexpr std::size_t most_single_curves = 8;

class SpectrumPlots : public QWidget {
 public:
  SpectrumPlots(Workspace& workspace, QWidget* parent);
  RankCursor* cursor() { return cursor_; }
  const RankCursor* cursor() const { return cursor_; }
  QCustomPlot* upper() { return upper_; }
  QCustomPlot* lower() const { return lower_; }
  /// All spectra present. `weights`: singular values instead of eigenvalues. The zoom stays while the layers are the same.
  void draw(const std::vector<ShownLayer>& shown, bool weights);
  void moveTo(int rank);  ///< cursor, fill, captured and left
  void fade();            ///< what is drawn belongs to an earlier question
  void resetZoom();
  double costPerRank() const;  ///< b/w, of the first layer
  void restyle();
  /// Estimates never leave the window: hidden while a picture is made.
  void showEstimates(bool shown);

  std::function<QString(const QPoint&)> hover_text;

 private:
  class CostTicker;
  /// Who may stand where it likes before whom.
  enum class LabelPlace { slot, alone, plain_bits, other_run };
  const LayerInfo& info(int layer) const { return workspace_.model()->layers()[std::size_t(layer)]; }
  QString title(int layer) const;
  void setUpPlot(QCustomPlot* plot);
  void drawUpper();
  void drawLower();
  void drawMany();
  void drawPrediction(const ShownLayer& shown);
  void movePrediction(int rank);
  void placeEstimate(double rank, double per_cent);
  void drawMarkers(const ShownLayer& shown, const QColor& colour, bool label);
  void drawAlone(const ShownLayer& shown, const QColor& colour, bool label);
  void drawPlainBits(const ShownLayer& shown);
  void scaleY();
  void placeLabels();
  void placeEndLabels();
  void placePointLabels();
  void labelPoint(const QString& text, double rank, double per_cent, const QColor& colour, Qt::Alignment wanted, LabelPlace place);
  QCPGraph* addCurve(QCustomPlot* plot, const QVector<double>& x, const QVector<double>& y, const QPen& pen);
  void remember(QCPAbstractItem* item, QCustomPlot* plot) { items_.push_back({plot, item}); }
  bool drawsWeights() const { return weights_; }

  Workspace& workspace_;
  QLabel* legend_;
  QCustomPlot *upper_, *lower_;
  RankCursor* cursor_;
  QSharedPointer<CostTicker> cost_;
  QCPGraph* fill_ = nullptr;
  QCPItemText *captured_text_ = nullptr, *left_text_ = nullptr, *cost_text_ = nullptr;
  std::vector<QCPGraph*> estimates_;  ///< dashed curve and its band
  QCPGraph* estimate_marker_ = nullptr;
  QCPItemText* estimate_text_ = nullptr;
  std::vector<std::pair<QCustomPlot*, QCPAbstractItem*>> items_;
  /// A text that stays at the right end of a curve.
  struct EndLabel {
    QCPItemText* text;
    std::shared_ptr<const LayerSpectrum> of;
    bool bound;
  };
  std::vector<EndLabel> end_labels_;
  /// A text beside a point of the lower plot, and where it stands by choice.
  struct PointLabel {
    QCPItemText* text;
    double rank, per_cent;
    Qt::Alignment wanted;
    LabelPlace place;
  };
  std::vector<PointLabel> point_labels_;
  LabelPlacer placer_{QRectF()};             ///< of the lower plot
  std::vector<const QCPGraph*> same_codes_;  ///< of the lower plot
  std::vector<ShownLayer> shown_;
  int drawn_layer_ = -1;
  bool weights_ = false;
};

}  // namespace lrc::app
