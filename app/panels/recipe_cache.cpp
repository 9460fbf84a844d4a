// The recipe's section about the key and value cache.
#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QVBoxLayout>

#include "panels/panel_widgets.h"
#include "panels/recipe_fields.h"
#include "panels/recipe_rows.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

void RecipeFields::make_cache() {
  cache_section_ = add_section(tr("KV cache"), false);
  kv_bits_ = new NumberBar(tr("Key and value bits"), {2, 3, 4, 8, 16}, this);
  kv_bits_->setObjectName("recipeKvBits");
  kv_bits_->setToolTip(tr("Keys and values where they enter the cache. 16: float. The layers are solved without it."));
  add_row(cache_section_, tr("Bits"), kv_bits_);
  connect(kv_bits_, &NumberBar::chosen, this, [this](int bits) {
    edit(tr("KV bits → %1").arg(bits), [bits](Recipe& recipe) {
      recipe.cache.bits = bits;
      // Its own rotation comes and goes with it; it can be switched by itself below.
      if (recipe.rotation.r1 && recipe.rotation.r2 && recipe.rotation.r4) recipe.rotation.r3 = asks_for_r3(recipe);
    });
  });
  kv_group_ = new QComboBox(this);
  kv_group_->setObjectName("recipeKvGroup");
  kv_group_->setToolTip(tr("Keys or values of a token that share a scale and a zero point."));
  add_row(cache_section_, tr("Scale per"), kv_group_);
  connect(kv_group_, &QComboBox::activated, this, [this] {
    const std::size_t size = kv_group_->currentData().toULongLong();
    edit(tr("KV group → %1").arg(kv_group_->currentText()), [size](Recipe& recipe) { recipe.cache.group_size = size; });
  });
  kv_clip_ = new QDoubleSpinBox(this);
  kv_clip_->setObjectName("recipeKvClip");
  kv_clip_->setRange(0.05, 1.0);
  kv_clip_->setSingleStep(0.01);
  kv_clip_->setDecimals(2);
  kv_clip_->setLocale(QLocale::c());
  kv_clip_->setToolTip(tr("The range of a head's keys or values times this is the grid's. Lower: finer steps, outliers cut."));
  add_row(cache_section_, tr("Clip"), kv_clip_);
  connect(kv_clip_, &QDoubleSpinBox::valueChanged, this, [this](double value) {
    edit(
        tr("KV clip → %1").arg(value, 0, 'f', 2), [value](Recipe& recipe) { recipe.cache.clip = float(value); }, {}, 16);
  });
  kv_zeros_ = new QCheckBox(tr("zero points"), this);
  kv_zeros_->setObjectName("recipeKvZeros");
  kv_zeros_->setToolTip(tr("The grid reaches from the smallest to the largest value; without, it lies evenly about zero."));
  add_row(cache_section_, {}, kv_zeros_);
  connect(kv_zeros_, &QCheckBox::clicked, this, [this](bool on) {
    edit(on ? tr("KV with zero points") : tr("KV symmetric"), [on](Recipe& recipe) { recipe.cache.symmetric = !on; });
  });
  kv_note_ = new ElidedLabel({}, Qt::ElideRight, cache_section_);
  kv_note_->setObjectName("recipeKvNote");
  kv_note_->setDim(true);
  kv_note_->setFont(font_of_points(font(), 8));
  cache_section_->body()->addWidget(kv_note_);
}

void RecipeFields::show_cache() {
  const Recipe& draft = workspace_.draft();
  const ActivationScheme& cache = draft.cache;
  kv_bits_->setValue(cache.bits);
  kv_group_->setCurrentIndex(kv_group_->findData(qulonglong(cache.group_size)));
  kv_clip_->setValue(double(cache.clip));
  kv_zeros_->setChecked(!cache.symmetric);
  for (QWidget* field : {static_cast<QWidget*>(kv_group_), static_cast<QWidget*>(kv_clip_), static_cast<QWidget*>(kv_zeros_)})
    field->setEnabled(!cache.off());
  kv_note_->setText(cache.off()          ? tr("float; the layers are solved the same either way")
                    : !draft.rotation.r3 ? tr("without R3 outliers of the keys cost precision")
                                         : tr("in this program; a GGUF file has a float cache"));
  cache_section_->setSummary(cache.off()             ? tr("float")
                             : cache.group_size == 0 ? tr("%1-bit").arg(cache.bits)
                                                     : tr("%1-bit · g%2").arg(cache.bits).arg(cache.group_size));
}

}  // namespace lrc::app
