// The page before a model is opened whose run needs more memory than is free: what each stage takes, and ways to make it fit.
#include <QCheckBox>
#include <QLabel>
#include <QPainter>
#include <QPushButton>
#include <QVBoxLayout>
#include <algorithm>

#include "models/draft_edits.h"
#include "panels/page_frame.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "plot_style.h"
#include "run/memory_stages.h"
#include "workspace.h"

namespace lrc::app {

namespace {

/// "6.0 GiB are free", or whose limit it is.
QString allowance(const Workspace::TooLarge& waiting) {
  return (waiting.limited ? QObject::tr("the settings allow %1") : QObject::tr("%1 are free")).arg(format_gibibytes(waiting.free_bytes));
}

/// A bar a stage, split into what fills it, with a line at what a run may take.
class StageBars : public QWidget {
 public:
  explicit StageBars(QWidget* parent) : QWidget(parent) {
    setObjectName("memoryForecast");
    setAccessibleName(tr("Memory of each stage"));
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
  }
  void show_stages(std::vector<MemoryStage> stages, const Workspace::TooLarge& waiting) {
    stages_ = std::move(stages);
    free_ = waiting.free_bytes;
    line_ = waiting.limited ? tr("limit %1") : tr("%1 free");
    QStringList words;
    for (const MemoryStage& stage : stages_) words << QString::fromStdString(stage.name) + ' ' + format_gibibytes(stage.total());
    setAccessibleDescription(words.join(", ") + "; " + allowance(waiting));
    updateGeometry();
    update();
  }
  QSize sizeHint() const override { return {480, rowHeight() * int(stages_.size()) + 2 * fontMetrics().height() + 16}; }

 protected:
  void paintEvent(QPaintEvent*) override {
    if (stages_.empty()) return;
    QPainter painter(this);
    const Colours& c = colours();
    const int left = 88, right = width() - 84, row = rowHeight();
    quint64 most = free_;
    for (const MemoryStage& stage : stages_) most = std::max(most, quint64(stage.total()));
    const double scale = double(right - left) / (double(most) * 1.05);
    int y = 0;
    for (const MemoryStage& stage : stages_) {
      painter.setPen(c.text);
      painter.drawText(QRect(0, y, left - 12, row), Qt::AlignRight | Qt::AlignVCenter, QString::fromStdString(stage.name));
      double x = left;
      for (const auto& [bytes, colour] :
           {std::pair(stage.weights, c.codes), std::pair(stage.activations, c.scales), std::pair(stage.moments, c.text)}) {
        painter.fillRect(QRectF(x, y + 5, double(bytes) * scale, row - 10), colour);
        x += double(bytes) * scale;
      }
      painter.setPen(stage.total() > free_ ? c.bad : c.text);
      painter.setFont(font_of_points(font(), 9, true));
      painter.drawText(QRect(right + 4, y, 80, row), Qt::AlignRight | Qt::AlignVCenter, format_gibibytes(stage.total()));
      painter.setFont(font());
      y += row;
    }
    const double line = left + double(free_) * scale;
    painter.setPen(QPen(c.bad, 2));
    painter.drawLine(QPointF(line, 0), QPointF(line, y));
    painter.setPen(c.bad);
    const QString text = line_.arg(format_gibibytes(free_));
    const int wide = fontMetrics().horizontalAdvance(text);
    painter.drawText(QRect(std::clamp(int(line) - wide / 2, left, right - wide), y, wide + 4, fontMetrics().height() + 4),
                     Qt::AlignLeft | Qt::AlignVCenter, text);
    y += fontMetrics().height() + 4;
    int x = left;
    for (const auto& [name, colour] :
         {std::pair(tr("weights"), c.codes), std::pair(tr("activations"), c.scales), std::pair(tr("moments and solver"), c.text)}) {
      painter.fillRect(x, y + 4, 10, 10, colour);
      painter.setPen(c.dim);
      painter.drawText(x + 14, y + 14, name);
      x += 14 + fontMetrics().horizontalAdvance(name) + 16;
    }
  }

 private:
  int rowHeight() const { return fontMetrics().height() + 10; }
  std::vector<MemoryStage> stages_;
  quint64 free_ = 0;
  QString line_;  ///< what stands at the line, %1 the bytes
};

class TooLargePage : public PageFrame {
 public:
  TooLargePage(Workspace& workspace, QWidget* parent)
      : PageFrame("tooLargePage", tr("This model needs more memory than a run may take"), parent), workspace_(workspace) {
    title_ = addTitle("tooLargeTitle");
    peak_ = addText("tooLargePeak");
    peak_->setForegroundRole(dim_role);
    bars_ = new StageBars(this);
    column()->addWidget(bars_);
    options_title_ = new QLabel(tr("Ways to make a run need less; each can be taken back in the recipe:"), this);
    options_title_->setFont(font_of_points(font(), 9, true));
    column()->addWidget(options_title_);
    options_ = new QVBoxLayout;
    options_->setSpacing(4);
    column()->addLayout(options_);
    outcome_ = addText("tooLargeOutcome");
    column()->addStretch(1);
    addButtonSpace();
    cancel_ = addButton("openCancelButton", tr("Cancel"), [this] { leave(); });
    open_ = addButton("openAnywayButton", {}, [this] { workspace_.openAnyway(chosen()); });
    connect(&workspace_, &Workspace::openedTooLarge, this, [this] { begin(); });
  }

 protected:
  void showEvent(QShowEvent* event) override {
    QWidget::showEvent(event);
    cancel_->setFocus(Qt::OtherFocusReason);
  }
  void leave() override { workspace_.cancelOpening(); }

 private:
  const Model& model() const { return *workspace_.tooLarge()->model; }

  void begin() {
    if (!workspace_.tooLarge()) return;
    base_ = fitted_to(Recipe{}, model());
    offered_ = memory_options(base_, model());
    for (QCheckBox* box : boxes_) delete box;
    boxes_.clear();
    for (std::size_t i = 0; i < offered_.size(); ++i) {
      auto* box = new QCheckBox(QString::fromStdString(offered_[i].name), this);
      box->setObjectName(QString("fitOption_%1").arg(i));
      connect(box, &QCheckBox::toggled, this, [this] { refresh(); });
      options_->addWidget(box);
      boxes_.push_back(box);
    }
    options_title_->setVisible(!boxes_.empty());
    refresh();
  }

  /// The recipe with what is ticked: each option changes fields of its own.
  Recipe chosen() const {
    Recipe recipe = base_;
    for (std::size_t i = 0; i < boxes_.size(); ++i) {
      if (!boxes_[i]->isChecked()) continue;
      const Recipe& option = offered_[i].recipe;
      if (option.calibration_tokens != base_.calibration_tokens) recipe.calibration_tokens = option.calibration_tokens;
      if (option.calibration_context != base_.calibration_context) recipe.calibration_context = option.calibration_context;
      if (option.held_out_windows != base_.held_out_windows) recipe.held_out_windows = option.held_out_windows;
    }
    return recipe;
  }

  void refresh() {
    const auto& waiting = *workspace_.tooLarge();
    const auto stages = memory_by_stage(chosen(), model(), waiting.free_bytes);
    const auto before = memory_by_stage(base_, model(), waiting.free_bytes);
    const auto higher = [](const MemoryStage& a, const MemoryStage& b) { return a.total() < b.total(); };
    const MemoryStage peak = *std::max_element(before.begin(), before.end(), higher),
                      now = *std::max_element(stages.begin(), stages.end(), higher);
    title_->setText(
        tr("%1 would need %2; %3").arg(QString::fromStdString(model().display_name()), format_gibibytes(peak.total()), allowance(waiting)));
    peak_->setText(peak.layer.empty()
                       ? tr("Most is needed to %1.").arg(QString::fromStdString(peak.name))
                       : tr("Most is needed to %1, by %2.").arg(QString::fromStdString(peak.name), QString::fromStdString(peak.layer)));
    bars_->show_stages(stages, waiting);
    QStringList over;
    for (const MemoryStage& stage : stages)
      if (stage.total() > waiting.free_bytes) over << QString::fromStdString(stage.name);
    const Colours& c = colours();
    if (over.isEmpty())
      outcome_->setText(QString("<span style='color:%1'>✓ %2</span>")
                            .arg(c.ok.name(), tr("With the marked choice: %1, fits.").arg(format_gibibytes(now.total()))));
    else
      outcome_->setText(
          QString("<span style='color:%1'>△ %2</span>")
              .arg(c.warn.name(),
                   (waiting.limited
                        ? tr("Over the limit: %1. The layers can be looked at all the same; the limit is in the settings (Ctrl+,).")
                        : tr("Too large for this computer: %1. The layers can be looked at all the same; what does not fit may end "
                             "the program."))
                       .arg(over.join(", "))));
    open_->setText(over.isEmpty() ? tr("Open with this choice") : tr("Open anyway"));
  }

  Workspace& workspace_;
  Recipe base_;
  std::vector<MemoryOption> offered_;
  std::vector<QCheckBox*> boxes_;
  QLabel *title_, *peak_, *options_title_, *outcome_;
  StageBars* bars_;
  QVBoxLayout* options_;
  QPushButton *cancel_, *open_;
};

}  // namespace

QWidget* make_too_large_page(Workspace& workspace, QWidget* parent) { return new TooLargePage(workspace, parent); }

}  // namespace lrc::app
