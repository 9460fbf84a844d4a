// The number formats of weights and activations in the recipe.
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QSlider>
#include <QVBoxLayout>

#include "panels/panel_widgets.h"
#include "panels/recipe_fields.h"
#include "panels/recipe_rows.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

QString group_text(std::size_t group) { return group == 0 ? QObject::tr("row") : QString::number(group); }

}  // namespace

void RecipeFields::make_weights() {
  weights_section_ = add_section(tr("Weights"), false);
  weight_bits_ = new NumberBar(tr("Weight bits"), {2, 3, 4, 5, 6, 8}, this);
  weight_bits_->setObjectName("recipeWeightBits");
  add_row(
      weights_section_, tr("Bits"), weight_bits_, [](const Override& own) { return own.weight_bits.has_value(); },
      [](Override& own) { own.weight_bits.reset(); });
  connect(weight_bits_, &NumberBar::chosen, this, [this](int bits) {
    edit(
        tr("Weight bits → %1").arg(bits), [bits](Recipe& recipe) { recipe.weight.bits = bits; },
        [bits](Override& own) { own.weight_bits = bits; });
  });
  group_ = new QComboBox(this);
  group_->setObjectName("recipeGroup");
  group_->setToolTip(tr("Weights that share a scale, along a row. Smaller groups: less error, more bytes for scales."));
  add_row(
      weights_section_, tr("Group"), group_, [](const Override& own) { return own.group_size.has_value(); },
      [](Override& own) { own.group_size.reset(); });
  connect(group_, &QComboBox::activated, this, [this] {
    const std::size_t size = group_->currentData().toULongLong();
    edit(
        tr("Weight group → %1").arg(group_text(size)), [size](Recipe& recipe) { recipe.weight.group_size = size; },
        [size](Override& own) { own.group_size = size; });
  });
  group_note_ = new ElidedLabel({}, Qt::ElideRight, weights_section_);
  group_note_->setObjectName("recipeGroupNote");
  group_note_->setDim(true);
  group_note_->setFont(font_of_points(font(), 8));
  weights_section_->body()->addWidget(group_note_);
  weight_clip_ = new QComboBox(this);
  weight_clip_->setObjectName("recipeWeightClip");
  weight_clip_->addItem(tr("search"), int(WeightClip::search));
  weight_clip_->addItem(tr("none"), int(WeightClip::none));
  weight_clip_->addItem(tr("AWQ"), int(WeightClip::awq));
  weight_clip_->setToolTip(
      tr("search: the scale of each row or group is shrunk where that lowers its rounding error.\n"
         "AWQ: by the error of the layer's outputs, q and k left out; for RTN and GPTQ codes."));
  add_row(weights_section_, tr("Clip"), weight_clip_);
  connect(weight_clip_, &QComboBox::activated, this, [this] {
    const auto clip = WeightClip(weight_clip_->currentData().toInt());
    edit(tr("Weight clip → %1").arg(weight_clip_->currentText()), [clip](Recipe& recipe) { recipe.weight.clip = clip; });
  });
}

void RecipeFields::make_activations() {
  activations_section_ = add_section(tr("Activations"), true);
  act_bits_ = new NumberBar(tr("Activation bits"), {4, 6, 8, 16}, this);
  act_bits_->setObjectName("recipeActBits");
  act_bits_->setToolTip(tr("16: the activation quantizer is off."));
  add_row(
      activations_section_, tr("Bits"), act_bits_, [](const Override& own) { return own.activation_bits.has_value(); },
      [](Override& own) { own.activation_bits.reset(); });
  connect(act_bits_, &NumberBar::chosen, this, [this](int bits) {
    edit(
        tr("Activation bits → %1").arg(bits), [bits](Recipe& recipe) { recipe.activation.bits = bits; },
        [bits](Override& own) { own.activation_bits = bits; });
  });
  act_group_ = new QComboBox(this);
  act_group_->setObjectName("recipeActScale");
  add_row(activations_section_, tr("Scale per"), act_group_);
  connect(act_group_, &QComboBox::activated, this, [this] {
    const std::size_t size = act_group_->currentData().toULongLong();
    edit(tr("Activation group → %1").arg(act_group_->currentText()), [size](Recipe& recipe) { recipe.activation.group_size = size; });
  });
  auto* clip = new QWidget(this);
  auto* cells = new QHBoxLayout(clip);
  cells->setContentsMargins(0, 0, 0, 0);
  cells->setSpacing(8);
  act_clip_slider_ = new QSlider(Qt::Horizontal, clip);
  act_clip_slider_->setObjectName("recipeActClipSlider");
  act_clip_slider_->setAccessibleName(tr("Activation clip"));
  act_clip_slider_->setRange(50, 100);
  act_clip_ = new QDoubleSpinBox(clip);
  act_clip_->setObjectName("recipeActClip");
  act_clip_->setAccessibleName(tr("Activation clip"));
  act_clip_->setRange(0.05, 1.0);
  act_clip_->setSingleStep(0.01);
  act_clip_->setDecimals(2);
  act_clip_->setLocale(QLocale::c());
  cells->addWidget(act_clip_slider_, 1);
  cells->addWidget(act_clip_);
  clip->setToolTip(tr("The largest activation of a token times this is the top of the grid. Lower: finer steps, outliers cut."));
  Row& row = add_row(
      activations_section_, tr("Clip"), clip, [](const Override& own) { return own.clip.has_value(); },
      [](Override& own) { own.clip.reset(); });
  row.label->setBuddy(act_clip_);
  const auto set_clip = [this](double value) {
    edit(
        tr("Activation clip → %1").arg(value, 0, 'f', 2), [value](Recipe& recipe) { recipe.activation.clip = float(value); },
        [value](Override& own) { own.clip = float(value); }, 1000 + drag_);
  };
  connect(act_clip_slider_, &QSlider::sliderPressed, this, [this] { ++drag_; });
  connect(act_clip_slider_, &QSlider::valueChanged, this, [set_clip](int value) { set_clip(value / 100.0); });
  connect(act_clip_, &QDoubleSpinBox::valueChanged, this, set_clip);
}

}  // namespace lrc::app
