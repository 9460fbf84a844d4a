#include "panels/sampling_box.h"

#include <QFormLayout>
#include <QPainter>
#include <QSettings>
#include <QStandardItemModel>
#include <QVBoxLayout>
#include <algorithm>

#include "plot_style.h"
#include "widgets.h"

namespace lrc::app {

namespace {

/// The fixed scale of the tint, 0…2 nat.
class TintScale : public QWidget {
 public:
  explicit TintScale(QWidget* parent) : QWidget(parent) {
    setFixedHeight(30);
    setFont(font_of_points(font(), 8));
    setAccessibleName(tr("Tint from 0 to 2 nat"));
  }

 protected:
  void paintEvent(QPaintEvent*) override {
    QPainter painter(this);
    const int w = width() - 24;
    for (int x = 0; x < w; ++x) painter.fillRect(x, 4, 1, 8, tint_of(2.0 * x / w));
    painter.setPen(colours().line);
    painter.drawRect(0, 3, w, 9);
    painter.setPen(colours().dim);
    for (const double value : {0.0, 0.5, 1.0, 2.0})
      painter.drawText(QRectF(w * value / 2 - (value == 0 ? 0 : 16), 14, 48, 16), Qt::AlignLeft,
                       (value == 0 ? QString() : QStringLiteral("  ")) + QString::number(value) + (value == 2 ? tr(" nat") : QString()));
  }
};

struct Preset {
  double temperature;
  int top_k;
  double top_p;
};
constexpr Preset presets[] = {{0.0, 0, 1.0}, {0.7, 40, 0.95}, {1.0, 0, 0.98}};

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
  colour_->addItems({tr("KL per token"), tr("Change of probability"), tr("Nothing")});
  tint->body()->addWidget(colour_);
  tint->body()->addWidget(new TintScale(tint));
  column->addWidget(tint);

  auto* sampling = new FoldingSection(tr("Sampling"), this);
  auto* form = new QFormLayout;
  form->setContentsMargins(0, 0, 0, 0);
  form->setVerticalSpacing(4);
  form->setHorizontalSpacing(8);
  preset_ = new QComboBox(sampling);
  preset_->setObjectName("samplingPreset");
  preset_->addItems({tr("Greedy"), tr("Default"), tr("Creative"), tr("own")});
  const auto real = [&](const QString& name, double low, double high) {
    auto* box = new QDoubleSpinBox(sampling);
    box->setObjectName(name);
    box->setRange(low, high);
    box->setSingleStep(0.05);
    box->setDecimals(2);
    box->setAlignment(Qt::AlignRight);
    box->setLocale(QLocale::c());
    connect(box, &QDoubleSpinBox::valueChanged, this, [this] {
      if (!applying_) preset_->setCurrentIndex(3);
    });
    return box;
  };
  const auto whole = [&](const QString& name, int low, int high, int value) {
    auto* box = new QSpinBox(sampling);
    box->setObjectName(name);
    box->setRange(low, high);
    box->setValue(value);
    box->setAlignment(Qt::AlignRight);
    return box;
  };
  temperature_ = real("samplingTemperature", 0, 5);
  temperature_->setToolTip(tr("0 always takes the likeliest token"));
  top_p_ = real("samplingTopP", 0.01, 1);
  top_p_->setToolTip(tr("Only the likeliest tokens that together reach this probability; 1 is off"));
  top_k_ = whole("samplingTopK", 0, 100000, 0);
  top_k_->setSpecialValueText(tr("off"));
  connect(top_k_, &QSpinBox::valueChanged, this, [this] {
    if (!applying_) preset_->setCurrentIndex(3);
  });
  max_new_ = whole("samplingMaxNew", 1, 4096, 128);
  seed_ = whole("samplingSeed", 0, 2147483647, 0);
  seed_->setToolTip(tr("The same for both sides: equal models give equal answers"));
  form->addRow(tr("Preset"), preset_);
  form->addRow(tr("Temp."), temperature_);
  form->addRow(tr("Top-p"), top_p_);
  form->addRow(tr("Top-k"), top_k_);
  form->addRow(tr("Max new"), max_new_);
  form->addRow(tr("Seed"), seed_);
  sampling->body()->addLayout(form);
  column->addWidget(sampling);

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
  mode_->on_change = explain;
  explain(0);
  connect(colour_, &QComboBox::currentIndexChanged, this, &SamplingBox::colourChanged);
  connect(preset_, &QComboBox::currentIndexChanged, this, [this](int preset) { applyPreset(preset); });
  applyPreset(0);
  takeDefaults();
}

void SamplingBox::takeDefaults() {
  const QSettings settings;
  const auto among = [&](const char* key, int otherwise, int count) {
    return std::clamp(settings.value(key, otherwise).toInt(), 0, count - 1);
  };
  mode_->setCurrent(among("chat/mode", int(ChatMode::b_follows_a), 3));
  colour_->setCurrentIndex(among("chat/colour", 0, colour_->count()));
  preset_->setCurrentIndex(among("chat/preset", 0, int(std::size(presets))));
  max_new_->setValue(settings.value("chat/maxNew", 128).toInt());
  seed_->setValue(settings.value("chat/seed", 0).toInt());
}

void SamplingBox::nextMode() { mode_->setCurrent((mode_->current() + 1) % 3); }

void SamplingBox::applyPreset(int preset) {
  if (preset >= int(std::size(presets))) return;
  applying_ = true;
  temperature_->setValue(presets[preset].temperature);
  top_k_->setValue(presets[preset].top_k);
  top_p_->setValue(presets[preset].top_p);
  applying_ = false;
}

Sampling SamplingBox::sampling() const {
  return {float(temperature_->value()), std::size_t(top_k_->value()), float(top_p_->value()), std::uint64_t(seed_->value())};
}

void SamplingBox::setForm(PromptForm form, bool own_exists, const QString& problem) {
  auto* items = qobject_cast<QStandardItemModel*>(form_->model());
  items->item(0)->setEnabled(own_exists && problem.isEmpty());
  form_->setCurrentIndex(int(form));
  QPalette palette = form_problem_->palette();
  palette.setColor(QPalette::WindowText, problem.isEmpty() ? colours().dim : colours().warn);
  form_problem_->setPalette(palette);
  form_problem_->setText(!problem.isEmpty() ? problem : own_exists ? QString() : tr("The model has no template of its own."));
  form_problem_->setVisible(!form_problem_->text().isEmpty());
}

}  // namespace lrc::app
