// The fields of the recipe that bring something from outside or change hands between layers: imported rotations, principal
// directions in more bits, channel scales, a second calibration text.
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QLabel>
#include <QToolButton>

#include "base/error.h"
#include "model/imported_rotations.h"
#include "panels/panel_widgets.h"
#include "panels/recipe_fields.h"
#include "panels/recipe_rows.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

ElidedLabel* RecipeFields::add_file_row(FoldingSection* section, const QString& label, const char* object_name, const QString& choose_tip,
                                        const QString& forget_tip, const std::function<void()>& choose,
                                        const std::function<void()>& forget) {
  auto* editor = new QWidget(this);
  auto* cells = new QHBoxLayout(editor);
  cells->setContentsMargins(0, 0, 0, 0);
  cells->setSpacing(4);
  auto* name = new ElidedLabel({}, Qt::ElideMiddle, editor);
  name->setObjectName(object_name);
  auto* open = new IconButton("folder", choose_tip, editor);
  open->setObjectName(QString(object_name) + "Choose");
  auto* clear = new IconButton("reset", forget_tip, editor);
  clear->setObjectName(QString(object_name) + "Clear");
  cells->addWidget(name, 1);
  cells->addWidget(open);
  cells->addWidget(clear);
  editor->setAccessibleName(label);
  add_row(section, label, editor);
  connect(open, &QToolButton::clicked, this, choose);
  connect(clear, &QToolButton::clicked, this, forget);
  return name;
}

void RecipeFields::make_imported_rotation() {
  rotation_file_ = add_file_row(
      rotation_section_, tr("From"), "recipeRotationFile", tr("Import R1 and R2 from a safetensors file"), tr("Back to Hadamard matrices"),
      [this] { choose_rotation(); }, [this] { edit(tr("Hadamard rotations"), [](Recipe& recipe) { recipe.rotation.file.clear(); }); });
}

void RecipeFields::choose_rotation() {
  const QString file = QFileDialog::getOpenFileName(this, tr("Rotations"), {}, tr("Orthogonal matrices (*.safetensors)"));
  if (file.isEmpty()) return;
  try {
    const RotationFileParts parts = check_rotation_file(file.toStdString(), workspace_.model()->config());
    edit(tr("Rotations → %1").arg(QFileInfo(file).fileName()), [file, parts](Recipe& recipe) {
      recipe.rotation.file = file.toStdString();
      recipe.rotation.r1 = parts.r1;
      recipe.rotation.r2 = parts.r2;
    });
  } catch (const Error& error) {
    workspace_.banner(QString::fromUtf8(error.what()));
  }
}

void RecipeFields::make_high_precision() {
  high_share_ = new QDoubleSpinBox(this);
  high_share_->setObjectName("recipeHighPrecision");
  high_share_->setRange(0, 100);
  high_share_->setSingleStep(6.25);
  high_share_->setDecimals(2);
  high_share_->setSuffix(tr(" %"));
  high_share_->setSpecialValueText(tr("none"));
  high_share_->setLocale(QLocale::c());
  high_share_->setToolTip(
      tr("ResQ: R1 and R2 become principal bases, and this part of their directions, where inputs vary most, gets more bits in weights and "
         "activations. The paper takes 12.5 %."));
  add_row(rotation_section_, tr("High bits for"), high_share_);
  connect(high_share_, &QDoubleSpinBox::valueChanged, this, [this](double value) {
    edit(
        tr("High precision → %1 %").arg(value, 0, 'g', 4), [value](Recipe& recipe) { recipe.rotation.high_share = value / 100; }, {}, 18);
  });
  high_bits_ = new QSpinBox(this);
  high_bits_->setObjectName("recipeHighBits");
  high_bits_->setRange(2, 8);
  high_bits_->setToolTip(tr("Bits of these directions, in weights and activations."));
  add_row(rotation_section_, tr("High bits"), high_bits_);
  connect(high_bits_, &QSpinBox::valueChanged, this, [this](int value) {
    edit(
        tr("High bits → %1").arg(value), [value](Recipe& recipe) { recipe.high_bits = value; }, {}, 19);
  });
}

void RecipeFields::make_smoothing() {
  smoothing_ = new QComboBox(this);
  smoothing_->setObjectName("recipeSmoothing");
  smoothing_->addItem(tr("none"), int(Smoothing::none));
  smoothing_->addItem(tr("SmoothQuant"), int(Smoothing::smoothquant));
  smoothing_->addItem(tr("AWQ"), int(Smoothing::awq));
  smoothing_->addItem(tr("closed form"), int(Smoothing::closed_form));
  smoothing_->setToolTip(tr("Scales of single channels that move from the activations into the weights. Folded, nothing at run time."));
  add_row(rotation_section_, tr("Smooth"), smoothing_);
  connect(smoothing_, &QComboBox::activated, this, [this] {
    const auto smoothing = Smoothing(smoothing_->currentData().toInt());
    edit(tr("Smoothing → %1").arg(smoothing_->currentText()), [smoothing](Recipe& recipe) { recipe.smoothing = smoothing; });
  });
  smoothing_strength_ = new QDoubleSpinBox(this);
  smoothing_strength_->setObjectName("recipeSmoothingStrength");
  smoothing_strength_->setRange(0, 1);
  smoothing_strength_->setSingleStep(0.05);
  smoothing_strength_->setDecimals(2);
  smoothing_strength_->setLocale(QLocale::c());
  smoothing_strength_->setToolTip(tr("α of SmoothQuant. 0: weights are evened out, 1: activations."));
  add_row(rotation_section_, tr("Strength"), smoothing_strength_);
  connect(smoothing_strength_, &QDoubleSpinBox::valueChanged, this, [this](double value) {
    edit(
        tr("Smoothing strength → %1").arg(value, 0, 'f', 2), [value](Recipe& recipe) { recipe.smoothing_strength = value; }, {}, 16);
  });
}

void RecipeFields::make_mix() {
  mix_ = add_file_row(
      calibration_section_, tr("Mixed with"), "recipeCalibrationMix", tr("Choose a second text, for example of the task"),
      tr("One text alone"),
      [this] {
        const QString file =
            QFileDialog::getOpenFileName(this, tr("Second calibration text"), {}, tr("Texts (*.txt *.json *.raw *.md);;All files (*)"));
        if (file.isEmpty()) return;
        const double share = mix_share_->value();
        edit(tr("Calibration mixed with %1").arg(QFileInfo(file).fileName()), [file, share](Recipe& recipe) {
          recipe.calibration_mix = CalibrationMix{file.toStdString(), share};
        });
      },
      [this] { edit(tr("One calibration text"), [](Recipe& recipe) { recipe.calibration_mix.reset(); }); });
  mix_share_ = new QDoubleSpinBox(this);
  mix_share_->setObjectName("recipeCalibrationMixShare");
  mix_share_->setRange(0.01, 0.99);
  mix_share_->setSingleStep(0.05);
  mix_share_->setDecimals(2);
  mix_share_->setValue(0.5);
  mix_share_->setLocale(QLocale::c());
  mix_share_->setToolTip(tr("The second text's part of the windows."));
  add_row(calibration_section_, tr("Share"), mix_share_);
  connect(mix_share_, &QDoubleSpinBox::valueChanged, this, [this](double value) {
    edit(
        tr("Share of the second text → %1").arg(value, 0, 'f', 2),
        [value](Recipe& recipe) {
          if (recipe.calibration_mix) recipe.calibration_mix->share = value;
        },
        {}, 17);
  });
}

void RecipeFields::show_transforms() {
  const Recipe& draft = workspace_.draft();
  const auto file_name = [](const std::string& path) { return QFileInfo(QString::fromStdString(path)).fileName(); };
  const bool imported = !draft.rotation.file.empty();
  const bool principal = draft.rotation.high_share > 0;
  rotation_file_->setText(imported ? file_name(draft.rotation.file) : principal ? tr("principal bases") : tr("Hadamard"));
  rotation_file_->setToolTip(QString::fromStdString(draft.rotation.file));
  high_share_->setValue(100 * draft.rotation.high_share);
  high_bits_->setValue(draft.high_bits);
  high_bits_->setEnabled(principal);
  smoothing_->setCurrentIndex(smoothing_->findData(int(draft.smoothing)));
  smoothing_strength_->setValue(draft.smoothing_strength);
  smoothing_strength_->setEnabled(draft.smoothing == Smoothing::smoothquant);
  mix_->setText(draft.calibration_mix ? file_name(draft.calibration_mix->text) : tr("nothing"));
  mix_->setToolTip(draft.calibration_mix ? QString::fromStdString(draft.calibration_mix->text) : QString());
  if (draft.calibration_mix) mix_share_->setValue(draft.calibration_mix->share);
  mix_share_->setEnabled(draft.calibration_mix.has_value());
}

}  // namespace lrc::app
