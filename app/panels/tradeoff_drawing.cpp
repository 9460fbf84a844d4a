#include <algorithm>
#include <set>

#include "models/run_facts.h"
#include "panels/label_placer.h"
#include "panels/tradeoff_panel.h"
#include "plot_style.h"

namespace lrc::app {

namespace {

constexpr int widest_name = 190;  // pixels
constexpr int beside = 13;        // from the middle of a point to its name: behind the ring of a slot
enum Order { in_slot, measured, coming };

}  // namespace

void TradeoffPanel::refresh() {
  tradeoff_ = tradeoff_of(workspace_, quality(), activations_->current());
  controls_->setContext(tradeoff_.protocol);
  explain();
  const Colours& c = colours();
  style_plot(*plot_);
  plot_->clearPlottables();
  plot_->clearItems();
  names_.clear();
  const QString names[] = {tr("KL, nat/token"), tr("perplexity"), tr("other top token, share")};
  make_logarithmic(*plot_->yAxis, names[int(quality())]);
  make_linear(*plot_->xAxis, tr("bits per weight, factors included"));
  double left = 4.0, right = 9.0, low = qInf(), high = 0;
  for (const TradeoffPoint& point : tradeoff_.points) {
    left = std::min(left, point.bits_per_weight - 0.3);
    right = std::max(right, point.bits_per_weight + 0.6);
    low = std::min(low, point.quality);
    high = std::max(high, point.quality);
  }
  if (!show_estimates_) tradeoff_.coming.clear();
  for (const ComingPoint& point : tradeoff_.coming) {
    left = std::min(left, point.bits_per_weight - 0.3);
    right = std::max(right, point.bits_per_weight + 0.6);
  }
  const bool original = quality() == Quality::perplexity && tradeoff_.original;
  if (original) {
    low = std::min(low, *tradeoff_.original);
    high = std::max(high, *tradeoff_.original);
  }
  if (!(high > 0)) low = quality() == Quality::perplexity ? 10 : 0.05, high = quality() == Quality::perplexity ? 50 : 1;
  plot_->xAxis->setRange(left - 0.2, right);
  plot_->yAxis->setRange(low / 1.35, high * 1.35);
  drawGround(low / 1.35, high * 1.35);
  if (original) {
    auto* line = new QCPItemStraightLine(plot_);
    line->point1->setCoords(0, *tradeoff_.original);
    line->point2->setCoords(1, *tradeoff_.original);
    line->setPen(QPen(c.text, 1));
    add_text(*plot_, tr("original %1").arg(format_perplexity(*tradeoff_.original)), right, *tradeoff_.original, c.dim,
             Qt::AlignRight | Qt::AlignTop);
  }
  drawFrontier();
  drawPoints();
  drawComing(low / 1.35);
  plot_->setAccessibleDescription(tradeoff_.points.empty() ? tr("No evaluated runs")
                                                           : tr("%1 runs, %2 to %3 bits per weight")
                                                                 .arg(tradeoff_.points.size())
                                                                 .arg(format_bits(tradeoff_.points.front().bits_per_weight),
                                                                      format_bits(tradeoff_.points.back().bits_per_weight)));
  plot_->replot(QCustomPlot::rpQueuedReplot);
  twin_->refresh();
}

/// Queued and running: hollow, for only their size is known.
void TradeoffPanel::drawComing(double low) {
  const Colours& c = colours();
  for (const ComingPoint& point : tradeoff_.coming) {
    const double y = point.quality.value_or(low);
    QCPGraph* graph = plot_->addGraph();
    graph->setLineStyle(QCPGraph::lsNone);
    graph->setScatterStyle(scatter(marker_of(point.method), colour_of(point.method), 9, false));
    graph->addData(point.bits_per_weight, y);
    const QString text = QString("#%1 %2").arg(point.run).arg(point.title);
    // Below its point where it can be: above stand the names of what is measured.
    addName(text, point.bits_per_weight, y, c.dim, Qt::AlignLeft | (point.quality ? Qt::AlignTop : Qt::AlignBottom), coming);
    QFont italic = names_.back().text->font();
    italic.setItalic(true);
    names_.back().text->setFont(italic);
  }
}

void TradeoffPanel::drawGround(double low, double high) {
  const Colours& c = colours();
  const auto span = [&](double from, double to, const QColor& colour) {
    auto* rect = new QCPItemRect(plot_);
    rect->topLeft->setTypeY(QCPItemPosition::ptAxisRectRatio);
    rect->bottomRight->setTypeY(QCPItemPosition::ptAxisRectRatio);
    rect->topLeft->setCoords(from, 0);
    rect->bottomRight->setCoords(to, 1);
    rect->setPen(Qt::NoPen);
    rect->setBrush(colour);
  };
  if (const RunEntry* b = run_in(workspace_, workspace_.slotB()); b && b->manifest.bits_per_weight > 0) {
    QColor ground = c.b_fill;
    ground.setAlphaF(0.14f);
    span(b->manifest.bits_per_weight * (1 - band), b->manifest.bits_per_weight * (1 + band), ground);
    // Left of the band, or right of it where that side has no room.
    const double size = b->manifest.bits_per_weight;
    const QString words = tr("same bytes as B, ±3 %");
    const bool room = plot_->xAxis->coordToPixel(size * (1 - band)) - plot_->axisRect()->left() > fontMetrics().horizontalAdvance(words);
    auto* text = add_text(*plot_, words, size * (room ? 1 - band : 1 + band), low, c.b_text,
                          (room ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignBottom);
    text->setClipToAxisRect(true);
  }
  if (!plain_->isChecked()) return;
  for (const PlainFormat& format : plain_formats) {
    auto* line = new QCPItemStraightLine(plot_);
    line->point1->setCoords(format.bits_per_weight, low);
    line->point2->setCoords(format.bits_per_weight, high);
    line->setPen(QPen(c.dim, 1.2, Qt::DotLine));
    auto* text = add_text(*plot_, format.name, format.bits_per_weight, 0, c.dim, Qt::AlignHCenter | Qt::AlignBottom);
    text->position->setTypeY(QCPItemPosition::ptAxisRectRatio);
    text->position->setCoords(format.bits_per_weight, 0);
  }
}

/// What is not drawn, and why.
void TradeoffPanel::explain() {
  QStringList remarks;
  std::set<int> precisions;
  for (const TradeoffPoint& point : tradeoff_.points) precisions.insert(point.activation_bits);
  if (precisions.size() > 1) remarks << tr("Runs of different activation precision share this plot: compare within one precision.");
  if (tradeoff_.evaluated_differently > 0)
    remarks << tr("%1 on another text or other windows, so not drawn.")
                   .arg(tradeoff_.evaluated_differently == 1 ? tr("One run was evaluated")
                                                             : tr("%1 runs were evaluated").arg(tradeoff_.evaluated_differently));
  if (tradeoff_.not_evaluated > 0)
    remarks << tr("%1 finished without an evaluation.")
                   .arg(tradeoff_.not_evaluated == 1 ? tr("One run") : tr("%1 runs").arg(tradeoff_.not_evaluated));
  if (tradeoff_.points.empty() && tradeoff_.coming.empty() && remarks.isEmpty())
    remarks << tr("Evaluated runs appear here. F5 starts the first.");
  std::vector<int> unevaluated;
  for (const RunEntry& run : workspace_.runs())
    if (run.state == RunEntry::State::done && !run.manifest.evaluation) unevaluated.push_back(run.number);
  if (remarks.isEmpty())
    notice_->clear();
  else
    notice_->say(remarks.join(' '), Notice::Tone::plain, tradeoff_.not_evaluated > 0 && !unevaluated.empty() ? tr("Evaluate") : QString(),
                 [this, unevaluated] {
                   for (const int run : unevaluated) workspace_.resumeRun(run);
                 });
}

void TradeoffPanel::drawFrontier() {
  if (!frontier_->isChecked() || tradeoff_.points.size() < 2) return;
  QCPGraph* line = plot_->addGraph();
  line->setLineStyle(QCPGraph::lsStepLeft);
  line->setPen(QPen(colours().b_fill, 1.5));
  for (const std::size_t index : frontier(tradeoff_.points))
    line->addData(tradeoff_.points[index].bits_per_weight, tradeoff_.points[index].quality);
}

void TradeoffPanel::drawPoints() {
  const Colours& c = colours();
  QStringList legend;
  std::set<std::string> methods_seen;
  for (const TradeoffPoint& point : tradeoff_.points) {
    const Slot slot{point.run};
    const bool in_a = workspace_.slotA() == slot, in_b = workspace_.slotB() == slot;
    const auto put = [&](const QCPScatterStyle& style) {
      QCPGraph* graph = plot_->addGraph();
      graph->setLineStyle(QCPGraph::lsNone);
      graph->setScatterStyle(style);
      graph->addData(point.bits_per_weight, point.quality);
    };
    if (in_a || in_b) put(QCPScatterStyle(QCPScatterStyle::ssCircle, QPen(in_b ? c.b_fill : c.a_fill, 1.8), Qt::NoBrush, 18));
    if (selection_.current() == point.run) put(QCPScatterStyle(QCPScatterStyle::ssSquare, QPen(c.text, 1), Qt::NoBrush, 22));
    put(scatter(marker_of(point.method), colour_of(point.method), 9));
    const QString slot_name = in_b ? tr("B  ") : in_a ? tr("A  ") : QString();
    addName(slot_name + QString("#%1 %2").arg(point.run).arg(point.title), point.bits_per_weight, point.quality,
            in_b   ? c.b_text
            : in_a ? c.a_text
                   : c.dim,
            Qt::AlignLeft | Qt::AlignBottom, in_b || in_a || selection_.current() == point.run ? in_slot : measured);
    if (methods_seen.insert(point.method).second) {
      const QString glyphs[] = {QStringLiteral("●"), QStringLiteral("◆"), QStringLiteral("■"), QStringLiteral("▲"), QStringLiteral("—")};
      legend << QString("<span style='color:%1'>%2</span> %3")
                    .arg(colour_of(point.method).name(), glyphs[int(marker_of(point.method))], method_title(point.method).toHtmlEscaped());
    }
  }
  if (!tradeoff_.coming.empty()) legend << QString("<span style='color:%1'>◇</span> %2").arg(c.dim.name(), tr("queued or running"));
  if (frontier_->isChecked() && tradeoff_.points.size() > 1)
    legend << QString("<span style='color:%1'>──</span> %2").arg(c.b_fill.name(), tr("frontier"));
  legend_->setText(legend.join(" &nbsp;&nbsp; "));
  legend_->setVisible(!legend.isEmpty());
}

/// Long names end in …; hovering says them whole.
void TradeoffPanel::addName(const QString& name, double bits_per_weight, double quality, const QColor& colour, Qt::Alignment wanted,
                            int order) {
  auto* text = add_text(*plot_, QFontMetrics(font_of_points(font(), 8)).elidedText(name, Qt::ElideRight, widest_name), bits_per_weight,
                        quality, colour, wanted);
  names_.push_back({text, bits_per_weight, quality, wanted, order});
}

void TradeoffPanel::placeNames() {
  LabelPlacer placer(plot_->axisRect()->rect());
  const auto pixel = [&](const Name& name) {
    return QPointF(plot_->xAxis->coordToPixel(name.bits_per_weight), plot_->yAxis->coordToPixel(name.quality));
  };
  std::ranges::stable_sort(names_, {}, &Name::order);
  for (const Name& name : names_) placer.take(QRectF(-5, -5, 10, 10).translated(pixel(name)));
  for (const Name& name : names_) placer.place(*name.text, pixel(name), name.wanted, beside);
}

}  // namespace lrc::app
