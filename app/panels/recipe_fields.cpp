#include "panels/recipe_fields.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QFileInfo>
#include <QLabel>
#include <QLineEdit>
#include <QPainter>
#include <QSlider>
#include <QSpinBox>
#include <QToolButton>
#include <QVBoxLayout>
#include <QWheelEvent>
#include <algorithm>
#include <cmath>
#include <map>

#include "models/draft_edits.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

/// The wheel scrolls the panel; only with Ctrl it changes a value.
class WheelGuard : public QObject {
 public:
  using QObject::QObject;
  bool eventFilter(QObject* watched, QEvent* event) override {
    if (event->type() == QEvent::Wheel && !(static_cast<QWheelEvent*>(event)->modifiers() & Qt::ControlModifier)) {
      event->ignore();
      return true;
    }
    return QObject::eventFilter(watched, event);
  }
};

class OverrideMark : public QWidget {
 public:
  explicit OverrideMark(QWidget* parent) : QWidget(parent) { setFixedSize(3, 18); }
  void setOn(bool on) {
    on_ = on;
    setToolTip(on ? QObject::tr("Set for the selection") : QString());
    update();
  }

 protected:
  void paintEvent(QPaintEvent*) override {
    if (on_) QPainter(this).fillRect(rect(), colours().override_mark);
  }

 private:
  bool on_ = false;
};

QString group_text(std::size_t group) { return group == 0 ? QObject::tr("row") : QString::number(group); }

std::string plain_number(double value) { return QString::number(value, 'g', 6).toStdString(); }

}  // namespace

NumberBar::NumberBar(const QString& accessible_name, const std::vector<int>& numbers, QWidget* parent) : QWidget(parent) {
  auto* row = new QHBoxLayout(this);
  row->setContentsMargins(0, 0, 0, 0);
  row->setSpacing(0);
  for (const int number : numbers) {
    auto* button = new QToolButton(this);
    button->setText(QString::number(number));
    button->setAccessibleName(QString("%1 %2").arg(accessible_name).arg(number));
    button->setObjectName(QString("value_%1").arg(number));
    button->setCheckable(true);
    button->setProperty("segment", true);
    button->setProperty("compact", true);
    button->setProperty("last", number == numbers.back());
    button->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
    button->setMinimumWidth(20);
    row->addWidget(button);
    buttons_.emplace_back(number, button);
    connect(button, &QToolButton::clicked, this, [this, number] {
      setValue(number);
      emit chosen(number);
    });
  }
}

void NumberBar::setValue(int value) {
  for (const auto& [number, button] : buttons_) button->setChecked(number == value);
}

RecipeFields::RecipeFields(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  column_ = new QVBoxLayout(this);
  column_->setContentsMargins(0, 0, 8, 8);
  column_->setSpacing(4);
  make_method();
  make_weights();
  make_activations();
  make_rotation();
  make_correction();
  make_calibration();
  column_->addStretch(1);
  auto* guard = new WheelGuard(this);
  for (QWidget* child : findChildren<QWidget*>())
    if (qobject_cast<QComboBox*>(child) || qobject_cast<QAbstractSpinBox*>(child) || qobject_cast<QSlider*>(child))
      child->installEventFilter(guard);
  connect(&workspace_, &Workspace::draftChanged, this, &RecipeFields::refresh);
  connect(&workspace_, &Workspace::selectionChanged, this, [this] {
    if (selection_scope_) refresh();
  });
  show_rows();
  refresh();
}

FoldingSection* RecipeFields::add_section(const QString& title, bool open) {
  auto* section = new FoldingSection(title, this);
  section->setOpen(open);
  column_->addWidget(section);
  return section;
}

RecipeFields::Row& RecipeFields::add_row(FoldingSection* section, const QString& text, QWidget* editor,
                                         std::function<bool(const Override&)> overridden, std::function<void(Override&)> forget) {
  auto row = std::make_unique<Row>();
  row->holder = new QWidget(section);
  auto* cells = new QHBoxLayout(row->holder);
  cells->setContentsMargins(0, 0, 0, 0);
  cells->setSpacing(4);
  row->mark = new OverrideMark(row->holder);
  row->label = new QLabel(text, row->holder);
  row->label->setBuddy(editor);
  row->label->setFixedWidth(fontMetrics().horizontalAdvance("Scale per  "));
  row->editor = editor;
  if (editor->accessibleName().isEmpty()) editor->setAccessibleName(section->accessibleName() + " " + text);
  row->reset = new IconButton("reset", tr("Back to the model-wide value"), row->holder);
  row->reset->hide();
  cells->addWidget(row->mark);
  cells->addWidget(row->label);
  cells->addWidget(editor, 1);
  cells->addWidget(row->reset);
  section->body()->addWidget(row->holder);
  row->selection_too = bool(overridden);
  row->overridden = std::move(overridden);
  row->forget = std::move(forget);
  connect(row->reset, &QToolButton::clicked, this,
          [this, forget_it = row->forget, text] { edit(tr("%1 inherited").arg(text), {}, forget_it); });
  rows_.push_back(std::move(row));
  return *rows_.back();
}

// ---- Sections ----------------------------------------------------------------------------------------------------------

void RecipeFields::make_method() {
  method_section_ = add_section(tr("Method"), true);
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
  passes_ = new QSpinBox(this);
  passes_->setObjectName("recipePasses");
  passes_->setRange(1, 8);
  passes_->setToolTip(tr("T of LRC(T): how often codes and factors are updated in turn. More passes: less error, longer solving."));
  add_row(
      method_section_, tr("Passes"), passes_, [](const Override& own) { return own.iterations.has_value(); },
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
      method_section_, {}, deflate_, [](const Override& own) { return own.deflate.has_value(); },
      [](Override& own) { own.deflate.reset(); });
  connect(deflate_, &QCheckBox::clicked, this, [this](bool on) {
    edit(
        on ? tr("Deflated") : tr("Not deflated"), [on](Recipe& recipe) { recipe.deflate = on; }, [on](Override& own) { own.deflate = on; });
  });
  skip_ = new QCheckBox(tr("leave in float"), this);
  skip_->setObjectName("recipeSkip");
  skip_->setToolTip(tr("These layers are not quantized at all."));
  add_row(
      method_section_, {}, skip_, [](const Override& own) { return own.skip.has_value(); }, [](Override& own) { own.skip.reset(); });
  connect(skip_, &QCheckBox::clicked, this,
          [this](bool on) { edit(on ? tr("Left in float") : tr("Quantized"), {}, [on](Override& own) { own.skip = on; }); });
}

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
  weight_clip_->setToolTip(tr("search: the scale of each row or group is shrunk where that lowers its rounding error."));
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
  act_group_->setObjectName("recipeActGroup");
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
  gptq_damping_ = number("recipeGptqDamping", tr("GPTQ's"), &Recipe::gptq_damping, &Override::gptq_damping);
}

// ---- Editing -----------------------------------------------------------------------------------------------------------

void RecipeFields::edit(const QString& what, const std::function<void(Recipe&)>& model_wide, const std::function<void(Override&)>& own,
                        int merge_id) {
  if (showing_ || !workspace_.hasModel()) return;
  if (selection_scope_ && own) {
    const auto& layers = workspace_.selectedLayers();
    if (layers.empty()) return;
    const Recipe changed =
        with_own_settings(workspace_.draft(), *workspace_.model(), layers, [&](Override& change, const LayerInfo&) { own(change); });
    workspace_.editDraft(QString("%1: %2").arg(QString::fromStdString(describe_layers(*workspace_.model(), layers)), what), changed,
                         merge_id);
  } else if (model_wide) {
    Recipe recipe = workspace_.draft();
    model_wide(recipe);
    workspace_.editDraft(what, recipe, merge_id);
  }
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

// ---- Showing -----------------------------------------------------------------------------------------------------------

void RecipeFields::setSelectionScope(bool selection) {
  selection_scope_ = selection;
  if (selection) weights_section_->setOpen(true);
  show_rows();
  refresh();
}

void RecipeFields::show_rows() {
  for (const auto& row : rows_) row->holder->setVisible(!selection_scope_ || row->selection_too);
  skip_->parentWidget()->setVisible(selection_scope_);
  rotation_section_->setVisible(!selection_scope_);
  rotation_note_->setVisible(!selection_scope_);
}

void RecipeFields::refresh() {
  if (!workspace_.hasModel()) return;
  showing_ = true;
  show_groups();
  show_values();
  show_summaries();
  showing_ = false;
}

void RecipeFields::show_groups() {
  const Model& model = *workspace_.model();
  const std::vector<int> layers = selection_scope_ ? workspace_.selectedLayers() : std::vector<int>{};
  const auto groups = possible_groups(model, layers);
  group_->clear();
  for (const std::size_t group : groups) group_->addItem(group == 0 ? tr("row") : QString::number(group), qulonglong(group));
  act_group_->clear();
  for (const std::size_t group : possible_groups(model, {}))
    act_group_->addItem(group == 0 ? tr("token") : tr("group of %1").arg(group), qulonglong(group));
  // Why the usual sizes are not offered.
  QString note;
  for (const std::size_t group : {std::size_t(128), std::size_t(64), std::size_t(32)}) {
    if (std::find(groups.begin(), groups.end(), group) != groups.end()) break;
    for (const LayerInfo& layer : model.layers())
      if (layer.in_features % group != 0) {
        note = tr("%1 does not divide %2").arg(group).arg(layer.in_features);
        break;
      }
    const auto next = std::find_if(groups.begin(), groups.end(), [&](std::size_t other) { return other > 0 && other < group; });
    if (!note.isEmpty() && next != groups.end()) note += tr("; %1 does").arg(*next);
    break;
  }
  group_note_->setText(note);
  group_note_->setVisible(!note.isEmpty());
}

void RecipeFields::show_values() {
  const Model& model = *workspace_.model();
  const Recipe& draft = workspace_.draft();
  const auto& schemes = workspace_.draftSchemes();
  std::vector<int> layers = workspace_.selectedLayers();
  // In the selection's scope a field shows what its layers have, or nothing certain when they differ.
  LayerScheme shown;
  bool one_bits = true, one_act = true, one_group = true, one_method = true, one_passes = true, one_deflate = true, one_clip = true,
       one_skip = true;
  std::size_t least_rank = 0, most_rank = 0;
  bool first = true;
  if (selection_scope_) {
    for (const int layer : layers) {
      const auto& scheme = schemes[std::size_t(layer)];
      if (!scheme) continue;
      if (std::exchange(first, false)) {
        shown = *scheme;
        least_rank = most_rank = scheme->rank;
        continue;
      }
      one_bits &= scheme->weight.bits == shown.weight.bits;
      one_act &= scheme->activation.bits == shown.activation.bits;
      one_group &= scheme->weight.group_size == shown.weight.group_size;
      one_method &= scheme->method == shown.method;
      one_passes &= scheme->iterations == shown.iterations;
      one_deflate &= scheme->deflate == shown.deflate;
      one_clip &= scheme->activation.clip == shown.activation.clip;
      one_skip &= scheme->skipped == shown.skipped;
      least_rank = std::min(least_rank, scheme->rank);
      most_rank = std::max(most_rank, scheme->rank);
    }
  } else {
    shown.method = draft.method;
    shown.weight = draft.weight;
    shown.activation = draft.activation;
    shown.iterations = draft.iterations;
    shown.deflate = draft.deflate;
    shown.damping = draft.damping;
    shown.gptq_damping = draft.gptq_damping;
  }
  setEnabled(!selection_scope_ || !first);
  method_->setCurrentIndex(one_method ? method_->findData(QByteArray::fromStdString(shown.method)) : -1);
  const bool is_lrc = shown.method == "lrc" || !one_method;
  passes_->setValue(shown.iterations);
  passes_->setEnabled(is_lrc);
  deflate_->setTristate(!one_deflate);
  deflate_->setCheckState(one_deflate ? (shown.deflate ? Qt::Checked : Qt::Unchecked) : Qt::PartiallyChecked);
  deflate_->setEnabled(is_lrc);
  skip_->setTristate(!one_skip);
  skip_->setCheckState(one_skip ? (shown.skipped ? Qt::Checked : Qt::Unchecked) : Qt::PartiallyChecked);
  weight_bits_->setValue(one_bits ? shown.weight.bits : -1);
  group_->setCurrentIndex(one_group ? group_->findData(qulonglong(shown.weight.group_size)) : -1);
  weight_clip_->setCurrentIndex(weight_clip_->findData(int(draft.weight.clip)));
  act_bits_->setValue(one_act ? shown.activation.bits : -1);
  act_group_->setCurrentIndex(act_group_->findData(qulonglong(draft.activation.group_size)));
  act_clip_slider_->setValue(int(std::lround(double(shown.activation.clip) * 100)));
  act_clip_->setValue(double(shown.activation.clip));
  const bool act_off = one_act && shown.activation.off();
  act_clip_->parentWidget()->setEnabled(!act_off);
  act_group_->setEnabled(!act_off);

  const auto& rotation = draft.rotation;
  r1_->setChecked(rotation.r1);
  r2_->setChecked(rotation.r2);
  r4_->setChecked(rotation.r4);
  seed_->setValue(int(rotation.seed));
  Recipe all = draft;
  all.rotation = {true, true, true, rotation.seed};
  const auto possible = fitted_to(all, model).rotation;
  r1_->setEnabled(possible.r1 || rotation.r1);
  r2_->setEnabled(possible.r2 || rotation.r2);
  r4_->setEnabled(possible.r4 || rotation.r4);
  rotation_note_->setText(rotation.r4      ? tr("R4 runs online: not for llama.cpp")
                          : !possible.r4   ? tr("R4: no Hadamard order for %1").arg(model.config().feed_forward)
                          : rotation.any() ? tr("folded into the weights")
                                           : tr("no rotation"));

  rank_rule_->setCurrentIndex(rank_rule_->findData(int(draft.rank_rule)));
  const bool has_rank = is_lrc;
  rank_->setEnabled(has_rank);
  rank_slider_->setEnabled(has_rank);
  const auto set_slider = [&](double percent) { rank_slider_->setValue(int(std::lround(std::clamp(percent, 0.0, 50.0) * 2))); };
  if (!rank_->hasFocus() || !rank_->isModified()) {
    rank_problem_->hide();
    if (!selection_scope_) {
      rank_->setText(QString::fromStdString(to_string(draft.rank)));
    } else {
      rank_->setText(least_rank == most_rank ? QString::number(least_rank) : QString("%1 … %2").arg(least_rank).arg(most_rank));
    }
    rank_->setModified(false);
  }
  if (!rank_slider_->isSliderDown()) {
    if (!selection_scope_ && draft.rank.percent) {
      set_slider(draft.rank.value);
    } else {
      double whole = 1;
      const auto& of = selection_scope_ && !layers.empty() ? model.layers()[std::size_t(layers.front())] : model.layers().front();
      whole = double(std::min(of.out_features, of.in_features));
      set_slider((selection_scope_ ? double(most_rank) : draft.rank.value) * 100 / whole);
    }
  }
  // "q,o,gate,up,down 57   k,v 19"; in the selection, how many have their own.
  if (selection_scope_) {
    int own = 0;
    for (const int layer : layers) own += own_settings(draft, model.layers()[std::size_t(layer)].name).has_value();
    rank_note_->setText(tr("%1 of %2 with own settings").arg(own).arg(layers.size()));
  } else {
    std::map<std::size_t, QStringList, std::greater<>> by_rank;
    for (std::size_t i = 0; i < schemes.size() && model.layers()[i].block == 0; ++i)
      if (schemes[i] && (model.layers()[i].expert == no_expert || model.layers()[i].expert == 0)) {
        const auto role = short_name(model.layers()[i].role);
        by_rank[schemes[i]->rank] << QString::fromUtf8(role.data(), qsizetype(role.size()));
      }
    QStringList parts;
    for (const auto& [rank, roles] : by_rank) parts << QString("%1 %2").arg(roles.join(",")).arg(rank);
    rank_note_->setText(has_rank ? parts.join("   ") : tr("this method has no branch"));
  }

  text_->setText(draft.calibration.empty() ? tr("WikiText-2, shipped") : QFileInfo(QString::fromStdString(draft.calibration)).fileName());
  text_->setToolTip(QString::fromStdString(draft.calibration));
  tokens_->setValue(int(draft.calibration_tokens));
  context_->setValue(int(draft.calibration_context));
  held_out_->setValue(int(draft.held_out_windows));
  if (!damping_->hasFocus()) damping_->setText(QString::fromStdString(plain_number(shown.damping)));
  if (!gptq_damping_->hasFocus()) gptq_damping_->setText(QString::fromStdString(plain_number(shown.gptq_damping)));

  // Which of the fields the selection has for itself.
  for (const auto& row : rows_) {
    bool overridden = false;
    if (selection_scope_ && row->overridden)
      for (const int layer : layers)
        if (const auto own = own_settings(draft, model.layers()[std::size_t(layer)].name)) overridden |= row->overridden(*own);
    static_cast<OverrideMark*>(row->mark)->setOn(overridden);
    row->reset->setVisible(overridden);
    QFont label = font();
    label.setBold(overridden);
    row->label->setFont(label);
    row->label->setProperty("dim", selection_scope_ && !overridden);
    row->label->style()->unpolish(row->label);
    row->label->style()->polish(row->label);
  }
}

void RecipeFields::show_summaries() {
  const Recipe& draft = workspace_.draft();
  QString method = method_->currentText();
  if (draft.method == "lrc") method += (draft.deflate ? tr(", deflated") : QString()) + tr(", %1 pass(es)").arg(draft.iterations);
  method_section_->setSummary(method);
  weights_section_->setSummary(tr("%1-bit · %2 · clip %3")
                                   .arg(draft.weight.bits)
                                   .arg(draft.weight.group_size == 0 ? tr("per row") : QString("g%1").arg(draft.weight.group_size))
                                   .arg(draft.weight.clip == WeightClip::search ? tr("search") : tr("none")));
  activations_section_->setSummary(draft.activation.off()
                                       ? tr("16-bit")
                                       : tr("%1-bit · clip %2").arg(draft.activation.bits).arg(double(draft.activation.clip), 0, 'f', 2));
  QStringList rotations;
  if (draft.rotation.r1) rotations << "R1";
  if (draft.rotation.r2) rotations << "R2";
  if (draft.rotation.r4) rotations << "R4 online";
  rotation_section_->setSummary(rotations.isEmpty() ? tr("none") : rotations.join(" · ") + tr(", seed %1").arg(draft.rotation.seed));
  correction_section_->setSummary(tr("rank %1").arg(QString::fromStdString(to_string(draft.rank))));
  calibration_section_->setSummary(tr("%1, %2 tokens").arg(text_->text(), format_count(draft.calibration_tokens)));
}

}  // namespace lrc::app
