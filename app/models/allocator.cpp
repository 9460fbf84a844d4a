#include "models/allocator.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "models/draft_edits.h"
#include "plot_style.h"
#include "run/sizes.h"

namespace lrc::app {

namespace {

constexpr std::size_t quick_units = std::size_t(1) << 13;  // of the budget, while it is dragged and for the curve
constexpr int curve_points = 24;

std::vector<int> all_layers(const Model& model) {
  std::vector<int> all(model.layers().size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = int(i);
  return all;
}

}  // namespace

Allocator& Allocator::of(Workspace& workspace) {
  if (auto* found = workspace.findChild<Allocator*>({}, Qt::FindDirectChildrenOnly)) return *found;
  return *new Allocator(workspace);
}

Allocator::Allocator(Workspace& workspace) : QObject(&workspace), workspace_(workspace), lane_(std::make_unique<JobQueue>("allocator")) {
  connect(&workspace, &Workspace::modelOpened, this, &Allocator::forget);
  connect(&workspace, &Workspace::modelClosed, this, &Allocator::forget);
  connect(&workspace, &Workspace::draftChanged, this, &Allocator::followDraft);
  if (workspace.hasModel()) forget();
}

Allocator::~Allocator() = default;

void Allocator::forget() {
  stop();
  basis_.reset();
  report_.reset();
  curve_.clear();
  failure_.clear();
  model_ = workspace_.model();
  budget_ = 0;
  if (model_ && !workspace_.draftProblem()) budget_ = size_of_draft();
  emit changed();
}

double Allocator::size_of_draft() const {
  return std::round(sizes_of(workspace_.draft(), *workspace_.model()).bits_per_weight() * 20) / 20;
}

Recipe Allocator::constraints() const {
  Recipe recipe = workspace_.draft();
  if (!options_.keep_overrides) recipe = without_own_settings(recipe, *workspace_.model(), all_layers(*workspace_.model()));
  recipe.name.clear();  // plays no part
  return recipe;
}

void Allocator::followDraft() {
  if (!workspace_.hasModel()) return;
  if (budget_ == 0 && !workspace_.draftProblem()) budget_ = size_of_draft();
  if (!basis_ && !measuring_) return;
  Recipe draft = workspace_.draft();
  draft.name.clear();
  if (constraints() == measured_ || draft == applied_) return;
  failure_ = measuring_ ? tr("The recipe changed; what was being worked out was for the one before.") : QString();
  stop();
  basis_.reset();
  report_.reset();
  curve_.clear();
  emit changed();
}

void Allocator::setOptions(const Options& options) {
  if (options == options_) return;
  options_ = options;
  stop();
  basis_.reset();
  report_.reset();
  curve_.clear();
  emit changed();
}

void Allocator::setBudget(double bits_per_weight) {
  if (bits_per_weight == budget_) return;
  budget_ = bits_per_weight;
  allocate();
  emit changed();
}

std::optional<QString> Allocator::problem() const {
  if (!workspace_.hasModel()) return tr("Open a model to spread a budget over its layers.");
  if (const auto problem = workspace_.draftProblem()) return problem;
  if (!find_method(workspace_.draft().method).uses_rank && !options_.bits_vary)
    return tr("%1 has no branch whose rank could be chosen; let the bits vary, or take LRC.")
        .arg(QString::fromStdString(workspace_.draft().method));
  return {};
}

void Allocator::stop() {
  for (const char* work : {"measure", "allocate"}) lane_->cancel(work);
  if (!measuring_) return;
  measuring_.reset();
  emit progress();
}

std::optional<double> Allocator::expectedSeconds() {
  if (problem()) return {};
  const Recipe recipe = constraints();
  if (recipe == expected_for_ && options_ == expected_options_) return expected_;
  expected_for_ = recipe;
  expected_options_ = options_;
  expected_.reset();
  const double solves = 2.0 * double(widths().size());
  // The costs of this machine may have to be measured first: not on the GUI thread.
  lane_->submit<double>(
      "expect", this,
      [model = workspace_.model(), recipe, solves](Progress&, std::stop_token) {
        double seconds = 0;
        for (const auto& [stage, value] : forecast(recipe, *model).by_stage) {
          if (stage == "rotate" || stage == "calibrate") seconds += value;
          if (stage == "solve") seconds += solves * value;
        }
        return seconds;
      },
      [this](double seconds) {
        expected_ = seconds;
        emit progress();
      });
  return {};
}

std::vector<int> Allocator::widths() const {
  return options_.bits_vary ? std::vector<int>{3, 4, 5, 6} : std::vector<int>{workspace_.draft().weight.bits};
}

void Allocator::measure() {
  if (problem() || measuring_ || basis_) return;
  failure_.clear();
  measured_ = constraints();
  AllocationRequest request;
  request.recipe = measured_;
  request.rank_step = std::size_t(options_.rank_step);
  request.most_rank_per_cent = options_.most_rank_per_cent;
  request.weight_bits = widths();
  request.exact = options_.weigh_by_kl;
  measuring_ = ProgressUpdate{};
  emit progress();
  struct Measured {
    std::shared_ptr<const AllocationBasis> basis;
    std::vector<Point> curve;
  };
  lane_->submit<Measured>(
      "measure", this,
      [model = model_, request](Progress& progress, std::stop_token stop) {
        Measured measured;
        measured.basis = std::make_shared<AllocationBasis>(*model, request, progress, stop);
        const double least = measured.basis->least_bits_per_weight(), most = measured.basis->most_bits_per_weight();
        for (int i = 0; i <= curve_points; ++i) {
          throw_if_stopped(stop);
          // The smallest budget is met to the bit.
          const double bits = std::min(least + 1e-6 + (most - least) * i / curve_points, most);
          const AllocationReport report = measured.basis->within(bits, quick_units);
          measured.curve.push_back(
              {report.bits_per_weight, report.predicted_cost, report.uniform_fits ? std::optional(report.uniform_cost) : std::nullopt});
        }
        return measured;
      },
      [this](Measured measured) {
        measuring_.reset();
        basis_ = std::move(measured.basis);
        curve_ = std::move(measured.curve);
        budget_ = std::clamp(budget_, std::ceil(least() * 100) / 100, most());
        workspace_.log(LogLevel::info, tr("The layers’ losses by rank are known; the budget can be spread"));
        allocate();
        emit progress();
        emit changed();
      },
      [this](const Error& error) {
        measuring_.reset();
        if (error.kind() != ErrorKind::stopped) failure_ = QString::fromUtf8(error.what());
        emit progress();
        emit changed();
      },
      [this](const ProgressUpdate& update) {
        if (!measuring_) return;
        measuring_ = update;
        emit progress();
      });
}

void Allocator::allocate() {
  if (!basis_) return;
  lane_->submit<std::optional<AllocationReport>>(
      "allocate", this,
      [basis = basis_, model = model_, budget = budget_](Progress&, std::stop_token) -> std::optional<AllocationReport> {
        if (budget < basis->least_bits_per_weight()) return {};
        return basis->within(budget, quick_units);
      },
      [this, basis = basis_](std::optional<AllocationReport> report) {
        if (basis != basis_) return;
        report_ = std::move(report);
        failure_ =
            report_ ? QString() : tr("The smallest choices take %1 b/w; a budget below that cannot be met.").arg(format_bits(least()));
        emit changed();
      },
      [this](const Error& error) {
        if (error.kind() != ErrorKind::stopped) failure_ = QString::fromUtf8(error.what());
        emit changed();
      });
}

QString Allocator::sentence() const {
  if (!report_) return {};
  const auto cost = [this](double value) {
    return report_->exact_weights ? tr("KL %1").arg(format_kl(value)) : tr("a summed error of %1 %").arg(100 * value, 0, 'f', 1);
  };
  QString text =
      tr("At <b>%1 b/w</b> the allocation is predicted at %2").arg(format_bits(report_->bits_per_weight), cost(report_->predicted_cost));
  if (!report_->uniform_fits) return text + tr("; no uniform rank fits into that.");
  text += tr(", uniform rank %1 % at %2.").arg(report_->uniform_rank_per_cent).arg(cost(report_->uniform_cost));
  // By role: per cent of min(in, out) above or below the uniform rank.
  std::map<Role, std::pair<double, int>> by_role;
  for (const LayerAllocation& layer : report_->layers) {
    const LayerInfo* info = model_->find_layer(layer.name);
    if (!info || layer.rank_fixed) continue;
    auto& [sum, count] = by_role[info->role];
    sum += 100.0 * double(layer.rank) / double(std::min(info->out_features, info->in_features)) - report_->uniform_rank_per_cent;
    ++count;
  }
  QStringList from, to;
  for (const auto& [role, moved] : by_role) {
    const double mean = moved.first / std::max(1, moved.second);
    const auto name = short_name(role);
    if (mean < -1) from << QString::fromUtf8(name.data(), qsizetype(name.size()));
    if (mean > 1) to << QString::fromUtf8(name.data(), qsizetype(name.size()));
  }
  if (!from.isEmpty() && !to.isEmpty()) text += ' ' + tr("It takes rank from %1 and gives it to %2.").arg(from.join(", "), to.join(", "));
  return text;
}

void Allocator::apply() {
  if (!report_ || !workspace_.hasModel()) return;
  const Model& model = *workspace_.model();
  std::map<std::string, const LayerAllocation*> chosen;
  for (const LayerAllocation& layer : report_->layers) chosen[layer.name] = &layer;
  std::vector<int> layers;
  for (std::size_t i = 0; i < model.layers().size(); ++i)
    if (chosen.contains(model.layers()[i].name)) layers.push_back(int(i));
  Recipe start = measured_;  // a second budget takes the place of the first
  start.name = workspace_.draft().name;
  const Recipe allocated = with_own_settings(start, model, layers, [&](Override& own, const LayerInfo& layer) {
    const LayerAllocation& choice = *chosen.at(layer.name);
    if (!choice.rank_fixed) own.rank = RankChoice{false, double(choice.rank)};
    if (!choice.bits_fixed && options_.bits_vary) own.weight_bits = choice.weight_bits;
  });
  applied_ = allocated;
  applied_.name.clear();
  workspace_.editDraft(tr("Allocated %1 b/w").arg(format_bits(report_->bits_per_weight)), allocated);
  workspace_.log(
      LogLevel::info,
      tr("Ranks of %1 layers set for %2 b/w; Ctrl+Z takes them back").arg(layers.size()).arg(format_bits(report_->bits_per_weight)));
  emit this->changed();
}

}  // namespace lrc::app
