#include "models/weight_errors.h"

#include "run/layer_rotation.h"
#include "run/rotated_layer.h"

namespace lrc::app {

WeightErrors& WeightErrors::of(Workspace& workspace) {
  if (auto* found = workspace.findChild<WeightErrors*>({}, Qt::FindDirectChildrenOnly)) return *found;
  return *new WeightErrors(workspace);
}

WeightErrors::WeightErrors(Workspace& workspace)
    : QObject(&workspace), workspace_(workspace), lane_(std::make_unique<JobQueue>("weights")) {
  rest_.setSingleShot(true);
  rest_.setInterval(500);
  connect(&rest_, &QTimer::timeout, this, &WeightErrors::ask);
  const auto forget = [this] {
    lane_->cancel_all();
    schemes_.clear();
    values_.clear();
    rest_.start();
  };
  connect(&workspace, &Workspace::modelOpened, this, forget);
  connect(&workspace, &Workspace::modelClosed, this, forget);
  connect(&workspace, &Workspace::draftChanged, &rest_, qOverload<>(&QTimer::start));
  if (workspace.hasModel()) rest_.start();
}

WeightErrors::~WeightErrors() = default;

std::optional<double> WeightErrors::value(int layer) const {
  return std::size_t(layer) < values_.size() ? values_[std::size_t(layer)] : std::nullopt;
}

void WeightErrors::ask() {
  if (!workspace_.hasModel()) return;
  const auto& drafted = workspace_.draftSchemes();
  const RotationChoice rotation = layer_rotation(workspace_.draft().rotation);
  std::vector<std::optional<WeightScheme>> schemes(drafted.size());
  // The matrices of an imported rotation are read with the whole model, and principal bases are not known before a run.
  const bool known = !rotation.matrices();
  for (std::size_t i = 0; known && i < drafted.size(); ++i)
    if (drafted[i] && !drafted[i]->skipped && drafted[i]->weight.bits < 16) schemes[i] = drafted[i]->weight;
  if (schemes == schemes_ && rotation == rotation_) return;
  // Layers that the edit does not touch keep what is known.
  const bool turned = !(rotation == rotation_) || values_.size() != schemes.size();
  values_.resize(schemes.size());
  for (std::size_t i = 0; i < schemes.size(); ++i)
    if (turned || i >= schemes_.size() || schemes[i] != schemes_[i]) values_[i].reset();
  rotation_ = rotation;
  schemes_ = std::move(schemes);
  lane_->cancel_all();
  for (std::size_t i = 0; i < schemes_.size(); ++i) {
    if (values_[i] || !schemes_[i]) continue;
    lane_->submit<double>(
        QString::number(i), this,
        [model = workspace_.model(), i, rotation, scheme = *schemes_[i]](Progress&, std::stop_token) {
          return rounding_error(*model, model->layers()[i], rotation, scheme);
        },
        [this, i](double error) {
          if (i >= values_.size()) return;
          values_[i] = error;
          emit changed();
        },
        [this](const Error& error) {
          if (error.kind() != ErrorKind::stopped) workspace_.log(LogLevel::warning, QString::fromUtf8(error.what()));
        });
  }
  emit changed();
}

}  // namespace lrc::app
