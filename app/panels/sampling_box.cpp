#include "panels/sampling_box.h"

#include <QFormLayout>
#include <QPainter>
#include <QSettings>
#include <QStandardItemModel>
#include <QVBoxLayout>
#include <algorithm>
#include <utility>

#include "panels/recipe_rows.h"
#include "plot_style.h"
#include "widgets.h"

namespace lrc::app {

namespace {

/// What the tint stands for: a fixed scale for each measure, so that two prompts can be compared.
class TintScale : public QWidget {
 public:
  explicit TintScale(QWidget* parent) : QWidget(parent) {
    setFixedHeight(30);
    setFont(font_of_points(font(), 8));
    show(TokenColour::kl);
  }
  void show(TokenColour measure) {
    measure_ = measure;
    setAccessibleName(measure == TokenColour::kl            ? tr("Tint from 0 to 2 nat")
                      : measure == TokenColour::probability ? tr("Tint from 0 to 100 points of probability")
                                                            : tr("Tint from the first to the 32nd place"));
    setVisible(measure != TokenColour::off);
    update();
  }

 protected:
  void paintEvent(QPaintEvent*) override {
    QPainter painter(this);
    const int w = width() - 24;
    for (int x = 0; x < w; ++x) painter.fillRect(x, 4, 1, 8, tint_of(2.0 * x / w));
    painter.setPen(colours().line);
    painter.drawRect(0, 3, w, 9);
    painter.setPen(colours().dim);
    using Marks = std::vector<std::pair<double, QString>>;  // place on the scale, text
    const Marks marks = measure_ == TokenColour::kl            ? Marks{{0, "0"}, {0.25, "0.5"}, {0.5, "1"}, {1, tr("2 nat")}}
                        : measure_ == TokenColour::probability ? Marks{{0, "0"}, {0.25, "25"}, {0.5, "50"}, {1, tr("100 pt")}}
                                                               : Marks{{0, "1."}, {0.2, "2."}, {0.6, "8."}, {1, "32."}};
    for (const auto& [place, text] : marks) {
      const int wide = painter.fontMetrics().horizontalAdvance(text);
      const double left = std::clamp(w * place - wide / 2.0, 0.0, double(width() - wide));
      painter.drawText(QPointF(left, 14 + painter.fontMetrics().ascent()), text);
    }
  }

 private:
  TokenColour measure_ = TokenColour::kl;
};

struct Preset {
  double temperature;
  int top_k;
  double top_p;
};
constexpr Preset presets[] = {{0.0, 0, 1.0}, {0.7, 40, 0.95}, {1.0, 0, 0.98}};  // without min-p and repetition penalty
constexpr int own = int(std::size(presets));                                    // the entry behind the presets

}  // namespace

SamplingBox::SamplingBox(QWidget* parent) : QWidget(parent) {
  setObjectName("samplingBox");
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(8);
  auto* mode = new FoldingSection(tr("Mode"), this);
  mode_ = new SegmentSwitch(tr("Mode"), mode);
  mode_->setObjectName("chatMode");
  mode_->addSegment(0, tr("Free"), tr("Both sides talk in their own words"));
  mode_->addSegment(1, tr("B follows A"), tr("B reads A’s tokens and is scored at each"));
  mode_->addSegment(2, tr("A follows B"), tr("A reads B’s tokens: where would the original have gone another way?"));
  mode_text_ = make_dim_label({}, mode);
  mode_text_->setWordWrap(true);
  mode->body()->addWidget(mode_);
  mode->body()->addWidget(mode_text_);
  column->addWidget(mode);
  auto* tint = new FoldingSection(tr("Colour tokens by"), this);
  colour_ = new QComboBox(tint);
  colour_->setObjectName("chatColour");
  colour_->setAccessibleName(tr("Colour tokens by"));
  colour_->addItem(tr("KL per token"), int(TokenColour::kl));
  colour_->addItem(tr("Change of probability"), int(TokenColour::probability));
  colour_->addItem(tr("Rank in B"), int(TokenColour::rank));
  colour_->addItem(tr("Nothing"), int(TokenColour::off));
  auto* scale = new TintScale(tint);
  scale_ = scale;
  tint->body()->addWidget(colour_);
  tint->body()->addWidget(scale_);
  column->addWidget(tint);
  makeSampling(column);

  auto* prompt = new FoldingSection(tr("Template"), this);
  form_ = new QComboBox(prompt);
  form_->setObjectName("chatTemplate");
  form_->setAccessibleName(tr("Template"));
  form_->addItems({tr("the model’s own"), tr("plain ChatML"), tr("none: continue the text")});
  form_problem_ = new QLabel(prompt);
  form_problem_->setObjectName("templateProblem");
  form_problem_->setWordWrap(true);
  prompt->body()->addWidget(form_);
  prompt->body()->addWidget(form_problem_);
  column->addWidget(prompt);
  column->addStretch(1);

  const auto explain = [this](int now) {
    mode_text_->setText(now == 0   ? tr("Both talk in their own words, from equal seeds.")
                        : now == 1 ? tr("B reads A’s tokens, so each position compares like with like.")
                                   : tr("A reads B’s tokens, so each position compares like with like."));
  };
  mode_->on_change = [this, explain](int now) {
    explain(now);
    takeEdit();
  };
  explain(0);
  connect(colour_, &QComboBox::currentIndexChanged, this, [this, scale] {
    scale->show(colour());
    emit colourChanged();
    takeEdit();
  });
  applyPreset(0);
  takeDefaults();
}

void SamplingBox::makeSampling(QVBoxLayout* column) {
  auto* sampling = new FoldingSection(tr("Sampling"), this);
  auto* form = new QFormLayout;
  form->setContentsMargins(0, 0, 0, 0);
  form->setVerticalSpacing(4);
  form->setHorizontalSpacing(8);
  preset_ = new QComboBox(sampling);
  preset_->setObjectName("samplingPreset");
  preset_->addItems({tr("Greedy"), tr("Default"), tr("Creative"), tr("own")});
  const auto real = [&](const QString& name, const QString& spoken, double low, double high) {
    auto* box = new QDoubleSpinBox(sampling);
    box->setObjectName(name);
    box->setRange(low, high);
    box->setSingleStep(0.05);
    box->setDecimals(2);
    box->setAlignment(Qt::AlignRight);
    box->setLocale(QLocale::c());
    box->setAccessibleName(spoken);
    connect(box, &QDoubleSpinBox::valueChanged, this, [this] {
      if (!applying_) preset_->setCurrentIndex(own);
      takeEdit();
    });
    return box;
  };
  const auto whole = [&](const QString& name, const QString& spoken, int low, int high, int value) {
    auto* box = new QSpinBox(sampling);
    box->setObjectName(name);
    box->setRange(low, high);
    box->setValue(value);
    box->setAlignment(Qt::AlignRight);
    box->setAccessibleName(spoken);
    connect(box, &QSpinBox::valueChanged, this, [this] { takeEdit(); });
    return box;
  };
  temperature_ = real("samplingTemperature", tr("Temperature"), 0, 5);
  temperature_->setToolTip(tr("0 always takes the likeliest token"));
  top_p_ = real("samplingTopP", tr("Top-p"), 0.01, 1);
  top_p_->setToolTip(tr("Only the likeliest tokens that together reach this probability; 1 is off"));
  top_k_ = whole("samplingTopK", tr("Top-k"), 0, 100000, 0);
  top_k_->setSpecialValueText(tr("off"));
  connect(top_k_, &QSpinBox::valueChanged, this, [this] {
    if (!applying_) preset_->setCurrentIndex(own);
  });
  min_p_ = real("samplingMinP", tr("Min-p"), 0, 1);
  min_p_->setSpecialValueText(tr("off"));
  min_p_->setToolTip(tr("Leaves out tokens less likely than this share of the likeliest one’s probability"));
  repetition_ = real("samplingRepetition", tr("Repetition penalty"), 1, 2);
  repetition_->setSpecialValueText(tr("off"));
  repetition_->setToolTip(tr("Makes tokens of the last %1 less likely: their logits are divided by it").arg(repetition_window));
  max_new_ = whole("samplingMaxNew", tr("Longest answer, tokens"), 1, 4096, 128);
  context_ = whole("samplingContext", tr("Context, tokens"), 64, int(usual_context), int(usual_context));
  context_->setSingleStep(256);
  context_->setToolTip(tr("What the conversation may hold; the oldest turns that do not fit are not read any more"));
  seed_ = whole("samplingSeed", tr("Seed"), 0, 2147483647, 0);
  seed_->setToolTip(tr("Equal seeds: equal models give equal answers"));
  same_seed_ = new QCheckBox(tr("same for both"), sampling);
  same_seed_->setObjectName("samplingSameSeed");
  same_seed_->setAccessibleName(tr("The same seed for both"));
  same_seed_->setChecked(true);
  seed_b_ = whole("samplingSeedB", tr("Seed of B"), 0, 2147483647, 1);
  stop_ = new QPlainTextEdit(sampling);
  stop_->setObjectName("samplingStop");
  stop_->setAccessibleName(tr("Stop strings, one a line"));
  stop_->setPlaceholderText(tr("one a line; \\n: line break"));
  stop_->setToolTip(tr("An answer ends before the first of these; \\n, \\t and \\\\ stand for a line break, a tab and a backslash"));
  stop_->setTabChangesFocus(true);
  stop_->setFixedHeight(2 * stop_->fontMetrics().lineSpacing() + 12);
  form->addRow(tr("Preset"), preset_);
  form->addRow(tr("Temp."), temperature_);
  form->addRow(tr("Top-p"), top_p_);
  form->addRow(tr("Top-k"), top_k_);
  form->addRow(tr("Min-p"), min_p_);
  form->addRow(tr("Repet."), repetition_);
  form->addRow(tr("Max new"), max_new_);
  form->addRow(tr("Context"), context_);
  form->addRow(tr("Seed"), seed_);
  form->addRow(QString(), same_seed_);
  form->addRow(tr("Seed of B"), seed_b_);
  form->addRow(tr("Stop at"), stop_);
  sampling->body()->addLayout(form);
  column->addWidget(sampling);
  const auto follow_seed = [this, form] { form->setRowVisible(seed_b_, !same_seed_->isChecked()); };
  follow_seed();
  connect(same_seed_, &QCheckBox::toggled, this, [this, follow_seed] {
    follow_seed();
    takeEdit();
  });
  connect(stop_, &QPlainTextEdit::textChanged, this, [this] { takeEdit(); });
  connect(preset_, &QComboBox::currentIndexChanged, this, [this](int preset) {
    applyPreset(preset);
    takeEdit();
  });
}

void SamplingBox::takeEdit() {
  if (!applying_) emit edited();
}

void SamplingBox::choose(QComboBox* box, int value) {
  if (const int row = box->findData(value); row >= 0) box->setCurrentIndex(row);
}

void SamplingBox::takeDefaults() {
  const QSettings settings;
  const auto among = [&](const char* key, int otherwise, int count) {
    return std::clamp(settings.value(key, otherwise).toInt(), 0, count - 1);
  };
  applying_ = true;
  mode_->setCurrent(among("chat/mode", int(ChatMode::b_follows_a), 3));
  choose(colour_, settings.value("chat/colour", int(TokenColour::kl)).toInt());
  same_seed_->setChecked(true);
  stop_->clear();
  context_->setValue(int(std::min<std::size_t>(usual_context, std::size_t(context_->maximum()))));
  preset_->setCurrentIndex(among("chat/preset", 0, int(std::size(presets))));
  max_new_->setValue(settings.value("chat/maxNew", 128).toInt());
  seed_->setValue(settings.value("chat/seed", 0).toInt());
  applying_ = false;
}

void SamplingBox::setLongestContext(std::size_t tokens) {
  const bool applying = std::exchange(applying_, true);
  context_->setRange(std::min(64, int(tokens)), int(std::min<std::size_t>(tokens, 1u << 30)));
  applying_ = applying;
}

void SamplingBox::nextMode() { mode_->setCurrent((mode_->current() + 1) % 3); }

void SamplingBox::applyPreset(int preset) {
  if (preset >= int(std::size(presets))) return;
  const bool applying = std::exchange(applying_, true);
  temperature_->setValue(presets[preset].temperature);
  top_k_->setValue(presets[preset].top_k);
  top_p_->setValue(presets[preset].top_p);
  min_p_->setValue(0);
  repetition_->setValue(1);
  applying_ = applying;
}

Sampling SamplingBox::sampling(int side) const {
  const QSpinBox* seed = side == 1 && !same_seed_->isChecked() ? seed_b_ : seed_;
  return {.temperature = float(temperature_->value()),
          .top_k = std::size_t(top_k_->value()),
          .top_p = float(top_p_->value()),
          .seed = std::uint64_t(seed->value()),
          .min_p = float(min_p_->value()),
          .repetition_penalty = float(repetition_->value()),
          .stop = stop_strings_of(stop_->toPlainText())};
}

Json SamplingBox::toJson() const {
  return {{"mode", mode_->current()},
          {"colour", int(colour())},
          {"preset", preset_->currentIndex()},
          {"temperature", temperature_->value()},
          {"top_k", top_k_->value()},
          {"top_p", top_p_->value()},
          {"min_p", min_p_->value()},
          {"repetition_penalty", repetition_->value()},
          {"max_new", max_new_->value()},
          {"context", context_->value()},
          {"seed", seed_->value()},
          {"same_seed", same_seed_->isChecked()},
          {"seed_b", seed_b_->value()},
          {"stop", stop_->toPlainText().toStdString()}};
}

void SamplingBox::fromJson(const Json& json) {
  if (!json.is_object()) return;
  const auto number = [&](const char* key, auto take) {
    if (const auto found = json.find(key); found != json.end() && found->is_number()) take(found->get<double>());
  };
  const auto whole = [](double value, int low, int high) { return int(std::clamp(value, double(low), double(high))); };
  applying_ = true;
  number("mode", [&](double value) { mode_->setCurrent(whole(value, 0, 2)); });
  number("colour", [&](double value) { choose(colour_, whole(value, 0, 100)); });
  number("preset", [&](double value) { preset_->setCurrentIndex(whole(value, 0, own)); });
  for (const auto& [key, box] :
       {std::pair{"temperature", temperature_}, {"top_p", top_p_}, {"min_p", min_p_}, {"repetition_penalty", repetition_}})
    number(key, [box = box](double value) { box->setValue(value); });
  for (const auto& [key, box] :
       {std::pair{"top_k", top_k_}, {"max_new", max_new_}, {"context", context_}, {"seed", seed_}, {"seed_b", seed_b_}})
    number(key, [box = box, &whole](double value) { box->setValue(whole(value, box->minimum(), box->maximum())); });
  if (const auto same = json.find("same_seed"); same != json.end() && same->is_boolean()) same_seed_->setChecked(same->get<bool>());
  if (const auto stop = json.find("stop"); stop != json.end() && stop->is_string())
    stop_->setPlainText(QString::fromStdString(stop->get<std::string>()));
  applying_ = false;
}

void SamplingBox::setForm(PromptForm form, bool own_exists, const QString& problem) {
  auto* items = qobject_cast<QStandardItemModel*>(form_->model());
  items->item(0)->setEnabled(own_exists && problem.isEmpty());
  form_->setCurrentIndex(int(form));
  form_problem_->setForegroundRole(problem.isEmpty() ? dim_role : bad_role);
  form_problem_->setText(!problem.isEmpty() ? problem : own_exists ? QString() : tr("The model has no template of its own."));
  form_problem_->setVisible(!form_problem_->text().isEmpty());
}

}  // namespace lrc::app
