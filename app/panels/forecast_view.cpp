#include "panels/forecast_view.h"

#include <QGridLayout>
#include <QLabel>
#include <QPainter>
#include <QPushButton>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>

#include "models/memory_limit.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "run/frontier.h"
#include "run/memory.h"
#include "run/memory_plan.h"
#include "workspace.h"

namespace lrc::app {

ForecastRuler::ForecastRuler(QWidget* parent) : QWidget(parent) {
  setObjectName("forecastRuler");
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
}

QSize ForecastRuler::sizeHint() const { return {240, 3 * fontMetrics().height() + 8}; }
QSize ForecastRuler::minimumSizeHint() const { return {160, sizeHint().height()}; }

void ForecastRuler::show_forecast(const std::optional<Forecast>& forecast, std::size_t weights) {
  bits_ = codes_ = scales_ = factors_ = 0;
  if (forecast && weights > 0) {
    bits_ = forecast->bits_per_weight;
    codes_ = double(forecast->code_bytes) * 8 / double(weights);
    scales_ = double(forecast->scale_bytes) * 8 / double(weights);
    factors_ = double(forecast->factor_bytes) * 8 / double(weights);
  }
  setAccessibleName(tr("Bits per weight of the draft: %1; Q4_0 4.5, Q5_0 5.5, Q6_K 6.56, Q8_0 8.5").arg(format_bits(bits_)));
  setToolTip(bits_ > 0 ? tr("%1 bits per weight: codes %2, scales %3, factors %4. Q4_0 is 4.5, Q5_0 5.5, Q6_K 6.56, Q8_0 8.5.")
                             .arg(format_bits(bits_), format_bits(codes_), format_bits(scales_), format_bits(factors_))
                       : QString());
  update();
}

void ForecastRuler::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  const Colours& c = colours();
  const double low = std::min(4.0, bits_ > 0 ? std::floor(bits_) : 4.0), high = std::max(9.0, std::ceil(bits_ + 0.5));
  const int left = 8, right = width() - 12, line = fontMetrics().height();
  const int y = line + 6;
  const auto place = [&](double bits) { return left + (bits - low) / (high - low) * (right - left); };
  painter.fillRect(QRectF(left, y, right - left, 5), c.line);
  if (bits_ > 0) {
    // The axis starts at 4 bits: of the codes only what lies above is drawn.
    double from = low;
    double sum = 0;
    const auto part = [&](double bits, const QColor& colour) {
      sum += bits;
      if (sum <= from) return;
      painter.fillRect(QRectF(place(from), y, std::max(1.0, place(sum) - place(from)), 5), colour);
      from = sum;
    };
    painter.fillRect(QRectF(left - 6, y, 6, 5), c.codes);
    part(codes_, c.codes);
    part(scales_, c.scales);
    part(factors_, c.b_fill);
    const double x = place(bits_);
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setPen(Qt::NoPen);
    painter.setBrush(c.b_fill);
    painter.drawPolygon(QPolygonF({QPointF(x, y - 6), QPointF(x + 5, y), QPointF(x - 5, y)}));
    painter.setRenderHint(QPainter::Antialiasing, false);
    painter.setFont(font_of_points(font(), 9, true));
    painter.setPen(c.b_text);
    const QString text = format_bits(bits_);
    const int wide = painter.fontMetrics().horizontalAdvance(text);
    painter.drawText(QRect(std::clamp(int(x) - wide / 2, 0, std::max(0, width() - wide)), 0, wide + 2, line), Qt::AlignCenter, text);
  }
  painter.setFont(font_of_points(font(), 8));
  int last_end = -100;
  for (const PlainFormat& format : plain_formats) {
    const int x = int(place(format.bits_per_weight));
    painter.setPen(c.faint);
    painter.drawLine(x, y + 5, x, y + 9);
    const int wide = painter.fontMetrics().horizontalAdvance(format.name);
    if (x - wide / 2 < last_end + 4) continue;
    painter.setPen(c.dim);
    painter.drawText(QRect(x - wide / 2 - 1, y + 9, wide + 2, line), Qt::AlignCenter, format.name);
    last_end = x + wide / 2;
  }
}

// ---- Numbers -----------------------------------------------------------------------------------------------------------

ForecastView::ForecastView(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  auto* grid = new QGridLayout(this);
  grid->setContentsMargins(0, 0, 0, 0);
  grid->setHorizontalSpacing(8);
  grid->setVerticalSpacing(2);
  auto* title = new QLabel(tr("Forecast"), this);
  title->setFont(font_of_points(font(), 9, true));
  auto* unit = new ElidedLabel(tr("b/w, factors included"), Qt::ElideRight, this);
  unit->setDim(true);
  unit->setFont(font_of_points(font(), 8));
  grid->addWidget(title, 0, 0);
  grid->addWidget(unit, 0, 2, Qt::AlignRight);
  ruler_ = new ForecastRuler(this);
  grid->addWidget(ruler_, 1, 0, 1, 3);
  const auto row = [&](int at, const QString& name, const char* object_name, QLabel*& value, ElidedLabel*& fact) {
    grid->addWidget(make_dim_label(name, this), at, 0);
    value = new QLabel("–", this);
    value->setObjectName(object_name);
    value->setAccessibleName(name);
    value->setFont(font_of_points(font(), 9, true));
    value->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
    value->setMinimumWidth(fontMetrics().horizontalAdvance("8888.8 MB"));
    fact = new ElidedLabel({}, Qt::ElideRight, this);
    fact->setDim(true);
    grid->addWidget(value, at, 1);
    grid->addWidget(fact, at, 2);
  };
  row(2, tr("Size"), "forecastSize", size_, size_fact_);
  row(3, tr("Memory"), "forecastMemory", memory_, memory_fact_);
  row(4, tr("Time"), "forecastTime", time_, time_fact_);
  match_ = new ElidedLabel({}, Qt::ElideRight, this);
  match_->setDim(true);
  match_->hide();
  grid->addWidget(match_, 5, 0, 1, 3);
  grid->setColumnStretch(2, 1);
  connect(&workspace_, &Workspace::draftChanged, this, &ForecastView::ask);
  connect(&workspace_, &Workspace::modelOpened, this, &ForecastView::ask);
  show_numbers();
}

void ForecastView::ask() {
  if (!workspace_.hasModel()) return;
  problem_ = workspace_.draftProblem().value_or(QString());
  if (!problem_.isEmpty()) {
    forecast_.reset();
    show_numbers();
    return;
  }
  workspace_.queryLane().submit<Forecast>(
      "forecast", this,
      [recipe = workspace_.draft(), model = workspace_.model(), limit = memory_limit()](Progress&, std::stop_token) {
        return forecast_within(recipe, *model, limit);
      },
      [this](Forecast forecast) {
        forecast_ = std::move(forecast);
        show_numbers();
      },
      [this](const Error& error) {
        forecast_.reset();
        problem_ = QString::fromUtf8(error.what());
        show_numbers();
      });
}

void ForecastView::show_numbers() {
  ruler_->show_forecast(forecast_, workspace_.hasModel() ? workspace_.model()->linear_parameters() : 0);
  match_->hide();
  if (!forecast_) {
    for (QLabel* value : {size_, memory_, time_}) value->setText("–");
    size_fact_->setText(problem_);
    memory_fact_->setText({});
    time_fact_->setText({});
    emit forecastChanged();
    return;
  }
  size_->setText(format_megabytes(forecast_->file_bytes));
  const double original = 2.0 * double(workspace_.model()->parameters());  // as 16-bit floats
  size_fact_->setText(
      tr("%1 % of %2").arg(double(forecast_->file_bytes) * 100 / original, 0, 'f', 1).arg(format_megabytes(quint64(original))));
  size_fact_->setToolTip(tr("%1 of %2, with embedding, head and norms; compared with the model in 16-bit floats.")
                             .arg(format_megabytes(forecast_->file_bytes), format_megabytes(quint64(original))));
  memory_->setText(format_gibibytes(forecast_->peak_memory_bytes));
  memory_->setToolTip(tr("At run time keys and values take %1 bytes for each token of context.").arg(forecast_->cache_bytes_per_token));
  const quint64 free = free_memory_bytes();
  memory_fact_->setText(free == 0                                      ? tr("peak, host")
                        : forecast_->peak_memory_bytes > free          ? tr("✗ peak; %1 free").arg(format_gibibytes(free))
                        : forecast_->peak_memory_bytes > free * 8 / 10 ? tr("△ peak, tight")
                                                                       : tr("✓ peak, host, fits"));
  time_->setText("≈ " + format_duration(forecast_->seconds));
  time_fact_->setText(tr("then evaluation"));
  time_fact_->setToolTip(tr("%1 layers are solved, then the run is evaluated on the test text.").arg(workspace_.model()->layers().size()));
  QStringList stages;
  for (const auto& [stage, seconds] : forecast_->by_stage)
    stages << QString("%1 ≈ %2").arg(QString::fromStdString(stage), format_duration(seconds));
  time_->setToolTip(stages.join("\n"));
  for (const RunEntry& run : workspace_.runs()) {
    if (run.state != RunEntry::State::done || !run.manifest.evaluation || !run.manifest.evaluation->kl || run.manifest.file_bytes == 0)
      continue;
    if (std::abs(run.manifest.bits_per_weight / forecast_->bits_per_weight - 1) > 0.03) continue;
    // The draft's own run is no comparison.
    Recipe ran = run.manifest.recipe;
    ran.name = workspace_.draft().name;
    if (ran == workspace_.draft()) continue;
    match_->setText(tr("same bytes: #%1 (%2 b/w), KL %3")
                        .arg(run.number)
                        .arg(format_bits(run.manifest.bits_per_weight), format_kl(run.manifest.evaluation->kl->mean)));
    match_->setToolTip(workspace_.slotTitle({run.number}));
    match_->show();
  }
  emit forecastChanged();
}

// ---- Pending -----------------------------------------------------------------------------------------------------------

PendingView::PendingView(Workspace& workspace, QWidget* parent) : QFrame(parent), workspace_(workspace) {
  setObjectName("pendingList");
  auto* grid = new QGridLayout(this);
  grid->setContentsMargins(8, 4, 4, 4);
  grid->setHorizontalSpacing(8);
  grid->setVerticalSpacing(0);
  title_ = new QLabel(this);
  title_->setFont(font_of_points(font(), 9, true));
  revert_ = new QPushButton(tr("Revert"), this);
  revert_->setObjectName("pendingRevert");
  revert_->setFlat(true);
  first_ = new ElidedLabel({}, Qt::ElideRight, this);
  second_ = new ElidedLabel({}, Qt::ElideRight, this);
  for (ElidedLabel* line : {first_, second_}) {
    line->setDim(true);
    line->setFont(font_of_points(font(), 8));
  }
  grid->addWidget(title_, 0, 0);
  grid->addWidget(revert_, 0, 1, Qt::AlignRight);
  grid->addWidget(first_, 1, 0, 1, 2);
  grid->addWidget(second_, 2, 0, 1, 2);
  grid->setColumnStretch(0, 1);
  connect(revert_, &QPushButton::clicked, &workspace_, &Workspace::revertDraft);
  connect(&workspace_, &Workspace::draftChanged, this, &PendingView::refresh);
  connect(&workspace_, &Workspace::slotsChanged, this, &PendingView::refresh);
  connect(&workspace_, &Workspace::runsChanged, this, &PendingView::refresh);
  refresh();
}

void PendingView::refresh() {
  const QStringList changes = workspace_.pendingChanges();
  const RunEntry* run = workspace_.referenceRun();
  any_ = !changes.isEmpty();
  title_->setText(!run                  ? tr("No run yet")
                  : !any_               ? tr("No change since #%1").arg(run->number)
                  : changes.size() == 1 ? tr("● 1 change since #%1").arg(run->number)
                                        : tr("● %1 changes since #%2").arg(changes.size()).arg(run->number));
  revert_->setVisible(any_);
  first_->setVisible(any_);
  first_->setText(changes.value(0));
  second_->setVisible(changes.size() > 1);
  second_->setText(changes.size() > 2 ? tr("%1; and %2 more").arg(changes.value(1)).arg(changes.size() - 2) : changes.value(1));
  setToolTip(changes.join("\n"));
  update();
}

void PendingView::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  painter.fillRect(rect(), any_ ? colours().warn_ground : colours().alternate);
}

}  // namespace lrc::app
