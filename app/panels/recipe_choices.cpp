// The fields of the recipe that are one of a few named values: formats, grids, orders, streams. Each is described once; one
// function lays it out, shows it in both scopes and writes it.
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QLineEdit>

#include "panels/panel_widgets.h"
#include "panels/recipe_fields.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

template <typename T>
struct RecipeFields::Choice {
  const char* object_name;
  QString label, tip;
  std::vector<std::pair<QString, T>> values;
  std::function<T(const Recipe&)> of_recipe;
  std::function<void(Recipe&, const T&)> set;
  /// Of a layer and of what it has for itself; absent: only for the whole model.
  std::function<T(const LayerScheme&)> of_layer = {};
  std::optional<T> Override::*own = nullptr;
  std::function<bool(const Recipe&)> applies = {};  ///< absent: always
};

template <typename T>
void RecipeFields::add_choice(FoldingSection* section, Choice<T> choice) {
  auto* box = new ElidedCombo(this);
  box->setObjectName(choice.object_name);
  box->setToolTip(choice.tip);
  box->setMinimumContentsLength(6);
  box->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
  for (const auto& [text, value] : choice.values) box->addItem(text);
  if (choice.own)
    add_row(
        section, choice.label, box, [own = choice.own](const Override& change) { return (change.*own).has_value(); },
        [own = choice.own](Override& change) { (change.*own).reset(); });
  else
    add_row(section, choice.label, box);
  connect(box, &QComboBox::activated, this, [this, box, choice](int index) {
    const T value = choice.values[std::size_t(index)].second;
    std::function<void(Override&)> own;
    if (choice.own) own = [member = choice.own, value](Override& change) { change.*member = value; };
    edit(
        tr("%1 → %2").arg(choice.label, box->currentText()), [choice, value](Recipe& recipe) { choice.set(recipe, value); }, own);
  });
  show_choices_.push_back([this, box, choice = std::move(choice)] {
    const Recipe& draft = workspace_.draft();
    T value = choice.of_recipe(draft);
    bool one = true, first = true;
    if (selection_scope_ && choice.of_layer)
      for (const int layer : workspace_.selectedLayers())
        if (const auto& scheme = workspace_.draftSchemes()[std::size_t(layer)]) {
          const T of_this = choice.of_layer(*scheme);
          one &= std::exchange(first, false) || of_this == value;
          value = of_this;
        }
    int at = -1;
    for (std::size_t i = 0; one && i < choice.values.size(); ++i)
      if (choice.values[i].second == value) at = int(i);
    box->setPlaceholderText(one ? tr("another") : tr("mixed"));
    box->setCurrentIndex(at);
    box->parentWidget()->setVisible((!choice.applies || choice.applies(draft)) && (!selection_scope_ || choice.own));
  });
}

namespace {

std::vector<std::pair<QString, NumberFormat>> formats() {
  return {{QObject::tr("integers"), NumberFormat::integer},
          {"MXINT", NumberFormat::mxint},
          {"MXFP4", NumberFormat::mxfp4},
          {QObject::tr("MXFP4, rounded scale"), NumberFormat::mxfp4_rounded},
          {"NVFP4", NumberFormat::nvfp4}};
}

QString format_tip() {
  return QObject::tr("Integers share any scale; MXINT and MXFP4 a power of two in each block; NVFP4 an 8-bit float scale.");
}

/// A block format brings the block and the bits that it is defined with.
template <typename Scheme>
void take_format(Scheme& scheme, NumberFormat format) {
  scheme.format = format;
  if (format == NumberFormat::integer) return;
  scheme.symmetric = true;
  scheme.group_size = default_block(format);
  if (is_e2m1(format)) scheme.bits = 4;
}

std::vector<std::pair<QString, bool>> grids() { return {{QObject::tr("symmetric"), false}, {QObject::tr("zero points"), true}}; }

QString grid_tip() {
  return QObject::tr(
      "Symmetric: the grid lies evenly about zero. Zero points: it reaches from the smallest to the largest value, at most 7 bits.");
}

}  // namespace

void RecipeFields::make_solver_choices() {
  add_choice<std::string>(solver_section_, {.object_name = "recipeBase",
                                            .label = tr("Codes by"),
                                            .tip = tr("The plain quantizer whose error this method’s branch corrects."),
                                            .values = {{"RTN", "rtn"}, {"GPTQ", "gptq"}},
                                            .of_recipe = [](const Recipe& recipe) { return recipe.base; },
                                            .set = [](Recipe& recipe, const std::string& base) { recipe.base = base; },
                                            .of_layer = [](const LayerScheme& scheme) { return scheme.base; },
                                            .own = &Override::base,
                                            .applies = [](const Recipe& recipe) { return find_method(recipe.method).corrects_base; }});
  add_choice<bool>(solver_section_, {.object_name = "recipeActOrder",
                                     .label = tr("Order"),
                                     .tip = tr("In which order GPTQ rounds the columns; the groups stay where they are."),
                                     .values = {{tr("as stored"), false}, {tr("largest inputs first"), true}},
                                     .of_recipe = [](const Recipe& recipe) { return recipe.act_order; },
                                     .set = [](Recipe& recipe, bool on) { recipe.act_order = on; },
                                     .of_layer = [](const LayerScheme& scheme) { return scheme.act_order; },
                                     .own = &Override::act_order});
  add_choice<bool>(solver_section_, {.object_name = "recipePolish",
                                     .label = tr("Polish"),
                                     .tip = tr("Codes are improved one by one on the grid of the first pass: no pass makes it worse."),
                                     .values = {{tr("no"), false}, {tr("codes, grid frozen"), true}},
                                     .of_recipe = [](const Recipe& recipe) { return recipe.polish; },
                                     .set = [](Recipe& recipe, bool on) { recipe.polish = on; },
                                     .of_layer = [](const LayerScheme& scheme) { return scheme.polish; },
                                     .own = &Override::polish,
                                     .applies = [](const Recipe& recipe) { return recipe.method == "lrc"; }});
  add_choice<bool>(solver_section_,
                   {.object_name = "recipeLearnScales",
                    .label = tr("Scales"),
                    .tip = tr("LET: refinement learns SmoothQuant’s channel scales beside LSI’s increments; without R1 and R2."),
                    .values = {{tr("as chosen"), false}, {tr("learned"), true}},
                    .of_recipe = [](const Recipe& recipe) { return recipe.learn_scales; },
                    .set = [](Recipe& recipe, bool on) { recipe.learn_scales = on; },
                    .applies = [](const Recipe& recipe) { return recipe.method == "lsi" || recipe.learn_scales; }});
  layers_ = new QLineEdit(this);
  layers_->setObjectName("recipeLayers");
  layers_->setToolTip(tr("Only layers of these names are quantized, the others stay in float: *, *.down_proj, *.0.*,*.1.*"));
  add_row(solver_section_, tr("Layers"), layers_);
  connect(layers_, &QLineEdit::editingFinished, this, [this] {
    const QString text = layers_->text().trimmed();
    if (!layers_->isModified() || text.isEmpty()) return;
    layers_->setModified(false);
    edit(tr("Layers → %1").arg(text), [text](Recipe& recipe) { recipe.layers = text.toStdString(); });
  });
  show_choices_.push_back([this] {
    if (!layers_->hasFocus()) layers_->setText(QString::fromStdString(workspace_.draft().layers));
  });
}

void RecipeFields::make_format_choices() {
  formats_section_ = add_section(tr("Formats"), false);
  add_choice<NumberFormat>(formats_section_, {.object_name = "recipeWeightFormat",
                                              .label = tr("W format"),
                                              .tip = format_tip(),
                                              .values = formats(),
                                              .of_recipe = [](const Recipe& recipe) { return recipe.weight.format; },
                                              .set = [](Recipe& recipe, NumberFormat format) { take_format(recipe.weight, format); },
                                              .of_layer = [](const LayerScheme& scheme) { return scheme.weight.format; },
                                              .own = &Override::weight_format});
  add_choice<bool>(formats_section_, {.object_name = "recipeSymmetric",
                                      .label = tr("W grid"),
                                      .tip = grid_tip(),
                                      .values = grids(),
                                      .of_recipe = [](const Recipe& recipe) { return !recipe.weight.symmetric; },
                                      .set = [](Recipe& recipe, bool zeros) { recipe.weight.symmetric = !zeros; },
                                      .of_layer = [](const LayerScheme& scheme) { return !scheme.weight.symmetric; },
                                      .own = &Override::weight_asymmetric,
                                      .applies = [](const Recipe& recipe) { return recipe.weight.format == NumberFormat::integer; }});
  add_choice<NumberFormat>(formats_section_, {.object_name = "recipeActFormat",
                                              .label = tr("A format"),
                                              .tip = format_tip(),
                                              .values = formats(),
                                              .of_recipe = [](const Recipe& recipe) { return recipe.activation.format; },
                                              .set = [](Recipe& recipe, NumberFormat format) { take_format(recipe.activation, format); },
                                              .of_layer = [](const LayerScheme& scheme) { return scheme.activation.format; },
                                              .own = &Override::activation_format,
                                              .applies = [](const Recipe& recipe) { return !recipe.activation.off(); }});
  add_choice<bool>(
      formats_section_,
      {.object_name = "recipeActSymmetric",
       .label = tr("A grid"),
       .tip = grid_tip(),
       .values = grids(),
       .of_recipe = [](const Recipe& recipe) { return !recipe.activation.symmetric; },
       .set = [](Recipe& recipe, bool zeros) { recipe.activation.symmetric = !zeros; },
       .of_layer = [](const LayerScheme& scheme) { return !scheme.activation.symmetric; },
       .own = &Override::activation_asymmetric,
       .applies = [](const Recipe& recipe) { return !recipe.activation.off() && recipe.activation.format == NumberFormat::integer; }});
  add_choice<bool>(
      formats_section_,
      {.object_name = "recipeActClipSearch",
       .label = tr("A clip"),
       .tip = tr("Given: the number in Activations. Searched: for each input by its layers’ error, beginning with that number."),
       .values = {{tr("given"), false}, {tr("searched"), true}},
       .of_recipe = [](const Recipe& recipe) { return recipe.search_clip; },
       .set = [](Recipe& recipe, bool on) { recipe.search_clip = on; },
       .applies = [](const Recipe& recipe) { return !recipe.activation.off(); }});
}

void RecipeFields::make_correction_choices() {
  const auto scheme_of = [](const char* text) { return factor_scheme(text).value(); };
  const auto has_branch = [](const Recipe& recipe) { return find_method(recipe.method).uses_rank; };
  add_choice<FactorScheme>(correction_section_,
                           {.object_name = "recipeFactors",
                            .label = tr("Factors"),
                            .tip = tr("How U and V are stored: 16, 8 or 8.5 bits a number. Fewer bits pay for more rank."),
                            .values = {{"fp16", scheme_of("fp16")}, {"int8", scheme_of("int8")}, {"MXINT8", scheme_of("mxint8")}},
                            .of_recipe = [](const Recipe& recipe) { return recipe.factors; },
                            .set = [](Recipe& recipe, const FactorScheme& factors) { recipe.factors = factors; },
                            .of_layer = [](const LayerScheme& scheme) { return scheme.factors; },
                            .own = &Override::factors,
                            .applies = has_branch});
  add_choice<std::optional<PairInput>>(
      correction_section_, {.object_name = "recipePairInput",
                            .label = tr("Acts on"),
                            .tip = tr("What the branch multiplies: the activation as it is (LRC), or as the quantizer left it (LQER)."),
                            .values = {{tr("as the method has it"), {}},
                                       {tr("the activation"), PairInput::unquantized},
                                       {tr("the quantized activation"), PairInput::quantized}},
                            .of_recipe = [](const Recipe& recipe) { return recipe.pair_input; },
                            .set = [](Recipe& recipe, const std::optional<PairInput>& input) { recipe.pair_input = input; },
                            .applies = has_branch});
}

void RecipeFields::make_calibration_choices() {
  add_choice<Stream>(calibration_section_,
                     {.object_name = "recipeStream",
                      .label = tr("Inputs"),
                      .tip = tr("Whose inputs the layers are solved on: the float model’s; those behind the layers that are quantized "
                                "already; or float between blocks and quantized inside."),
                      .values = {{tr("float model’s"), Stream::fp},
                                 {tr("behind quantized"), Stream::propagated},
                                 {tr("float between blocks"), Stream::replay}},
                      .of_recipe = [](const Recipe& recipe) { return recipe.stream; },
                      .set = [](Recipe& recipe, Stream stream) { recipe.stream = stream; }});
  drift_ = new QDoubleSpinBox(this);
  drift_->setObjectName("recipeDrift");
  drift_->setRange(0, 1);
  drift_->setSingleStep(0.05);
  drift_->setDecimals(2);
  drift_->setLocale(QLocale::c());
  drift_->setToolTip(tr("α: how much of the drift of the quantized layers before is made up for; the float model’s inputs have none."));
  add_row(
      calibration_section_, tr("Drift"), drift_, [](const Override& own) { return own.drift.has_value(); },
      [](Override& own) { own.drift.reset(); });
  connect(drift_, &QDoubleSpinBox::valueChanged, this, [this](double value) {
    edit(
        tr("Drift → %1").arg(value, 0, 'f', 2), [value](Recipe& recipe) { recipe.drift = value; },
        [value](Override& own) { own.drift = value; }, 18);
  });
  show_choices_.push_back([this] {
    double value = workspace_.draft().drift;
    if (selection_scope_)
      for (const int layer : workspace_.selectedLayers())
        if (const auto& scheme = workspace_.draftSchemes()[std::size_t(layer)]) value = scheme->drift;
    drift_->setValue(value);
    drift_->setEnabled(workspace_.draft().stream != Stream::fp);
  });
}

}  // namespace lrc::app
