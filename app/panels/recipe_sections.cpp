// The sections of the recipe: which fields there are and what each of them edits.
#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QFileInfo>
#include <QLabel>
#include <QLineEdit>
#include <QSlider>
#include <QSpinBox>
#include <QToolButton>
#include <QVBoxLayout>

#include "models/draft_edits.h"
#include "panels/panel_widgets.h"
#include "panels/recipe_fields.h"
#include "panels/recipe_rows.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

void RecipeFields::make_method() {
  method_section_ = add_section(tr("Method"), true);
  method_section_->setHeadless();
  method_ = new QComboBox(this);
  method_->setObjectName("recipeMethod");
  for (const SolveMethod& method : methods()) {
    method_->addItem(QString::fromUtf8(method.title.data(), qsizetype(method.title.size())),
                     QByteArray(method.name.data(), qsizetype(method.name.size())));
    method_->setItemData(method_->count() - 1, QString::fromUtf8(method.explanation.data(), qsizetype(method.explanation.size())),
                         Qt::ToolTipRole);
  }
  method_->setMinimumContentsLength(6);
  method_->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
  add_row(
      method_section_, tr("Method"), method_, [](const Override& own) { return own.method.has_value(); },
      [](Override& own) { own.method.reset(); });
  connect(method_, &QComboBox::activated, this, [this] {
    const std::string name = method_->currentData().toByteArray().toStdString();
    edit(
        tr("Method → %1").arg(method_->currentText()), [name](Recipe& recipe) { recipe.method = name; },
        [name](Override& own) { own.method = name; });
  });
  solver_section_ = add_section(tr("Solver"), false);
  passes_ = new QSpinBox(this);
  passes_->setObjectName("recipePasses");
  passes_->setRange(1, 8);
  passes_->setToolTip(tr("T of LRC(T): how often codes and factors are updated in turn. More passes: less error, longer solving."));
  add_row(
      solver_section_, tr("Passes"), passes_, [](const Override& own) { return own.iterations.has_value(); },
      [](Override& own) { own.iterations.reset(); });
  connect(passes_, &QSpinBox::valueChanged, this, [this](int value) {
    edit(
        tr("Passes → %1").arg(value), [value](Recipe& recipe) { recipe.iterations = value; },
        [value](Override& own) { own.iterations = value; }, 11);
  });
  deflate_ = new QCheckBox(tr("deflated"), this);
  deflate_->setObjectName("recipeDeflate");
  deflate_->setToolTip(tr("Update-Quant on what the branch cannot reach. Less error at the same size; a little longer solving."));
  add_row(
      solver_section_, {}, deflate_, [](const Override& own) { return own.deflate.has_value(); },
      [](Override& own) { own.deflate.reset(); });
  connect(deflate_, &QCheckBox::clicked, this, [this](bool on) {
    edit(
        on ? tr("Deflated") : tr("Not deflated"), [on](Recipe& recipe) { recipe.deflate = on; }, [on](Override& own) { own.deflate = on; });
  });
  const auto count = [this](const char* name, const QString& label, int least, int most, int step, const QString& tip, auto set) {
    auto* box = new QSpinBox(this);
    box->setObjectName(name);
    box->setRange(least, most);
    box->setSingleStep(step);
    box->setToolTip(tip);
    add_row(solver_section_, label, box);
    connect(box, &QSpinBox::valueChanged, this, [this, label, set](int value) {
      edit(tr("%1 → %2").arg(label).arg(value), [value, set](Recipe& recipe) { set(recipe, value); });
    });
    return box;
  };
  refine_ =
      count("recipeRefine", tr("Refine"), 0, 100'000, 50,
            tr("Steps that tune factors and scales on each solved block's output error; codes stay (LSI: its weights move). 0: none."),
            [](Recipe& recipe, int value) { recipe.refine = value; });
  steps_ = count("recipeSteps", tr("Steps"), 1, 100'000, 50, tr("Of LSI's own learning, layer by layer."),
                 [](Recipe& recipe, int value) { recipe.steps = value; });
  square_ = count("recipeSquare", tr("Square"), 0, 1 << 20, 50,
                  tr("Side of LSI's trainable matrix in the corner of the singular values; helps small groups. 0: none."),
                  [](Recipe& recipe, int value) { recipe.square = std::size_t(value); });
  skip_ = new QCheckBox(tr("leave in float"), this);
  skip_->setObjectName("recipeSkip");
  skip_->setToolTip(tr("These layers are not quantized at all."));
  add_row(
      method_section_, {}, skip_, [](const Override& own) { return own.skip.has_value(); }, [](Override& own) { own.skip.reset(); });
  connect(skip_, &QCheckBox::clicked, this,
          [this](bool on) { edit(on ? tr("Left in float") : tr("Quantized"), {}, [on](Override& own) { own.skip = on; }); });
}

void RecipeFields::make_rotation() {
  rotation_section_ = add_section(tr("Rotation"), false);
  auto* boxes = new QWidget(this);
  auto* cells = new QHBoxLayout(boxes);
  cells->setContentsMargins(0, 0, 0, 0);
  const auto make = [&](const QString& name, const QString& tip) {
    auto* box = new QCheckBox(name, boxes);
    box->setObjectName("recipe" + name);
    box->setToolTip(tip);
    cells->addWidget(box);
    return box;
  };
  r1_ = make("R1", tr("Rotates the residual stream; folded into the weights, costs nothing at run time."));
  r2_ = make("R2", tr("Rotates each attention head; folded into the weights."));
  r3_ = make("R3", tr("Rotates each head of queries and keys online; for a quantized cache, it changes nothing else."));
  r4_ = make("R4", tr("Rotates the input of down_proj online, at every token."));
  cells->addStretch(1);
  boxes->setAccessibleName(tr("Rotations"));
  add_row(rotation_section_, tr("Rotate"), boxes);
  const auto toggle = [this](QCheckBox* box, bool RotationChoice::*member) {
    connect(box, &QCheckBox::clicked, this, [this, box, member](bool on) {
      edit(tr("%1 %2").arg(box->text(), on ? tr("on") : tr("off")), [member, on](Recipe& recipe) { recipe.rotation.*member = on; });
    });
  };
  toggle(r1_, &RotationChoice::r1);
  toggle(r2_, &RotationChoice::r2);
  toggle(r3_, &RotationChoice::r3);
  toggle(r4_, &RotationChoice::r4);
  seed_ = new QSpinBox(this);
  seed_->setObjectName("recipeRotationSeed");
  seed_->setRange(0, 1000000);
  add_row(rotation_section_, tr("Seed"), seed_);
  connect(seed_, &QSpinBox::valueChanged, this, [this](int value) {
    edit(
        tr("Rotation seed → %1").arg(value), [value](Recipe& recipe) { recipe.rotation.seed = std::uint64_t(value); }, {}, 12);
  });
  rotation_note_ = new ElidedLabel({}, Qt::ElideRight, rotation_section_);
  rotation_note_->setDim(true);
  rotation_note_->setFont(font_of_points(font(), 8));
  rotation_section_->body()->addWidget(rotation_note_);
}

void RecipeFields::make_correction() {
  correction_section_ = add_section(tr("Correction"), true);
  auto* editor = new QWidget(this);
  auto* cells = new QHBoxLayout(editor);
  cells->setContentsMargins(0, 0, 0, 0);
  cells->setSpacing(8);
  rank_slider_ = new QSlider(Qt::Horizontal, editor);
  rank_slider_->setObjectName("recipeRankSlider");
  rank_slider_->setAccessibleName(tr("Rank, per cent of min(in, out)"));
  rank_slider_->setRange(0, 100);  // half per cents
  rank_slider_->setPageStep(10);
  rank_ = new QLineEdit(editor);
  rank_->setObjectName("recipeRank");
  rank_->setAccessibleName(tr("Rank"));
  rank_->setAlignment(Qt::AlignRight);
  rank_->setFixedWidth(fontMetrics().horizontalAdvance("57 … 115") + 16);
  rank_->setToolTip(tr("57 or 10%. More rank: less error, more bytes, slower decoding."));
  cells->addWidget(rank_slider_, 1);
  cells->addWidget(rank_);
  Row& row = add_row(
      correction_section_, tr("Rank"), editor, [](const Override& own) { return own.rank.has_value(); },
      [](Override& own) { own.rank.reset(); });
  row.label->setBuddy(rank_);
  connect(rank_slider_, &QSlider::sliderPressed, this, [this] { ++drag_; });
  connect(rank_slider_, &QSlider::valueChanged, this, [this](int halves) {
    const RankChoice rank{true, halves / 2.0};
    edit(
        tr("Rank → %1").arg(QString::fromStdString(to_string(rank))), [rank](Recipe& recipe) { recipe.rank = rank; },
        [rank](Override& own) { own.rank = rank; }, 2000 + drag_);
  });
  connect(rank_, &QLineEdit::editingFinished, this, &RecipeFields::take_rank_text);
  // The forecast follows each key; the keys until Enter are one undo step.
  connect(rank_, &QLineEdit::textEdited, this, [this](const QString& text) {
    try {
      const RankChoice rank = parse_rank(text.trimmed().toStdString());
      rank_problem_->hide();
      edit(
          tr("Rank → %1").arg(text.trimmed()), [rank](Recipe& recipe) { recipe.rank = rank; }, [rank](Override& own) { own.rank = rank; },
          3000 + drag_);
    } catch (const Error&) {
      // Not a rank yet; said when the field is left.
    }
  });
  for (auto [label, name] : {std::pair{&rank_problem_, "recipeRankProblem"}, std::pair{&rank_note_, "recipeRankNote"}}) {
    *label = new ElidedLabel({}, Qt::ElideRight, correction_section_);
    (*label)->setObjectName(name);
    (*label)->setDim(true);
    (*label)->setFont(font_of_points(font(), 8));
    correction_section_->body()->addWidget(*label);
  }
  rank_problem_->hide();
  rank_rule_ = new QComboBox(this);
  rank_rule_->setObjectName("recipeRankRule");
  rank_rule_->addItem(tr("% of min(in, out)"), int(RankRule::min_dimension));
  rank_rule_->addItem(tr("% of parameters"), int(RankRule::parameters));
  rank_rule_->setToolTip(tr("What the per cent of the rank is a part of."));
  add_row(correction_section_, tr("Rule"), rank_rule_);
  connect(rank_rule_, &QComboBox::activated, this, [this] {
    const auto rule = RankRule(rank_rule_->currentData().toInt());
    edit(tr("Rank rule → %1").arg(rank_rule_->currentText()), [rule](Recipe& recipe) { recipe.rank_rule = rule; });
  });
  range_finder_ = new QComboBox(this);
  range_finder_->setObjectName("recipeRangeFinder");
  range_finder_->addItem(tr("exact"), int(RangeFinder::exact));
  range_finder_->addItem(tr("randomized"), int(RangeFinder::randomized));
  range_finder_->setToolTip(
      tr("How the pair's directions are found. Randomized: less solving time at small ranks; what it misses is told."));
  add_row(correction_section_, tr("Directions"), range_finder_);
  connect(range_finder_, &QComboBox::activated, this, [this] {
    const auto finder = RangeFinder(range_finder_->currentData().toInt());
    edit(tr("Directions → %1").arg(range_finder_->currentText()), [finder](Recipe& recipe) { recipe.range_finder = finder; });
  });
}

void RecipeFields::make_calibration() {
  calibration_section_ = add_section(tr("Calibration"), false);
  auto* editor = new QWidget(this);
  auto* cells = new QHBoxLayout(editor);
  cells->setContentsMargins(0, 0, 0, 0);
  cells->setSpacing(4);
  text_ = new ElidedLabel({}, Qt::ElideMiddle, editor);
  text_->setObjectName("recipeCalibration");
  auto* choose = new IconButton("folder", tr("Choose a text"), editor);
  choose->setObjectName("recipeCalibrationChoose");
  auto* shipped = new IconButton("reset", tr("Back to the shipped WikiText-2 slice"), editor);
  shipped->setObjectName("recipeCalibrationShipped");
  cells->addWidget(text_, 1);
  cells->addWidget(choose);
  cells->addWidget(shipped);
  editor->setAccessibleName(tr("Calibration text"));
  add_row(calibration_section_, tr("Text"), editor);
  connect(choose, &QToolButton::clicked, this, &RecipeFields::choose_text);
  connect(shipped, &QToolButton::clicked, this,
          [this] { edit(tr("Shipped calibration text"), [](Recipe& recipe) { recipe.calibration.clear(); }); });
  const auto spin = [&](const char* object_name, const QString& label, int low, int high, int step, int merge,
                        std::size_t Recipe::*member) {
    auto* box = new QSpinBox(this);
    box->setObjectName(object_name);
    box->setRange(low, high);
    box->setSingleStep(step);
    add_row(calibration_section_, label, box);
    connect(box, &QSpinBox::valueChanged, this, [this, label, member, merge](int value) {
      edit(
          QString("%1 → %2").arg(label).arg(value), [member, value](Recipe& recipe) { recipe.*member = std::size_t(value); }, {}, merge);
    });
    return box;
  };
  tokens_ = spin("recipeCalibrationTokens", tr("Tokens"), 16, 4194304, 2048, 13, &Recipe::calibration_tokens);
  context_ = spin("recipeCalibrationContext", tr("Context"), 16, 131072, 256, 14, &Recipe::calibration_context);
  held_out_ = spin("recipeHeldOut", tr("Held-out"), 0, 64, 1, 15, &Recipe::held_out_windows);
  held_out_->setToolTip(tr("Windows after the calibration ones that only measure."));
  skip_first_ = spin("recipeSkipFirst", tr("Leave out"), 0, 4096, 1, 16, &Recipe::skip_first_positions);
  skip_first_->setToolTip(tr(
      "The first positions of every window: many models keep huge activations at position 0, which then rule what is measured. 0: none."));
  const auto number = [&](const char* object_name, const QString& label, double Recipe::*member, std::optional<double> Override::*own) {
    auto* line = new QLineEdit(this);
    line->setObjectName(object_name);
    line->setAlignment(Qt::AlignRight);
    add_row(
        calibration_section_, label, line, [own](const Override& change) { return (change.*own).has_value(); },
        [own](Override& change) { (change.*own).reset(); });
    connect(line, &QLineEdit::editingFinished, this, [this, line, label, member, own] {
      bool ok = false;
      const double value = line->text().trimmed().toDouble(&ok);
      if (!ok || !(value >= 0) || value > 1000) return refresh();
      edit(
          QString("%1 → %2").arg(label, line->text()), [member, value](Recipe& recipe) { recipe.*member = value; },
          [own, value](Override& change) { change.*own = value; });
    });
    line->setToolTip(tr("Added to the diagonal of the second moments, as a part of its mean."));
    return line;
  };
  damping_ = number("recipeDamping", tr("Damping"), &Recipe::damping, &Override::damping);
  damping_toward_ = new QComboBox(this);
  damping_toward_->setObjectName("recipeDampingToward");
  damping_toward_->addItem(tr("toward zero (ridge)"), int(DampingToward::zero));
  damping_toward_->addItem(tr("toward the original"), int(DampingToward::original));
  damping_toward_->setToolTip(
      tr("What a layer does to inputs that calibration hardly showed: nothing, or what the original does (tokens with Y = X)."));
  add_row(
      calibration_section_, tr("Unseen"), damping_toward_, [](const Override& change) { return change.damping_toward.has_value(); },
      [](Override& change) { change.damping_toward.reset(); });
  connect(damping_toward_, &QComboBox::activated, this, [this] {
    const auto toward = DampingToward(damping_toward_->currentData().toInt());
    edit(
        tr("Damping %1").arg(damping_toward_->currentText()), [toward](Recipe& recipe) { recipe.damping_toward = toward; },
        [toward](Override& change) { change.damping_toward = toward; });
  });
  gptq_damping_ = number("recipeGptqDamping", tr("GPTQ's"), &Recipe::gptq_damping, &Override::gptq_damping);
}
void RecipeFields::take_rank_text() {
  if (showing_ || !rank_->isModified()) return;
  rank_->setModified(false);
  ++drag_;
  rank_problem_->hide();
  try {
    const RankChoice rank = parse_rank(rank_->text().trimmed().toStdString());
    edit(
        tr("Rank → %1").arg(rank_->text().trimmed()), [rank](Recipe& recipe) { recipe.rank = rank; },
        [rank](Override& own) { own.rank = rank; });
  } catch (const Error& error) {
    rank_problem_->setText(QString::fromUtf8(error.what()));
    rank_problem_->show();
    rank_->selectAll();
    return;
  }
  refresh();
}

void RecipeFields::choose_text() {
  const QString file = QFileDialog::getOpenFileName(this, tr("Calibration text"), {}, tr("Texts (*.txt *.json *.raw *.md);;All files (*)"));
  if (file.isEmpty()) return;
  edit(tr("Calibration text → %1").arg(QFileInfo(file).fileName()), [file](Recipe& recipe) { recipe.calibration = file.toStdString(); });
}

}  // namespace lrc::app
