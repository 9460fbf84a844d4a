// What the fields of the recipe show: the model-wide values, or what the selected layers have in common.
#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QFileInfo>
#include <QLabel>
#include <QLineEdit>
#include <QSlider>
#include <QSpinBox>
#include <QStyle>
#include <QToolButton>
#include <algorithm>
#include <cmath>
#include <map>

#include "models/draft_edits.h"
#include "panels/panel_widgets.h"
#include "panels/recipe_budget.h"
#include "panels/recipe_fields.h"
#include "panels/recipe_rows.h"
#include "panels/rules_editor.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

QString plain_number(double value) { return QString::number(value, 'g', 6); }

}  // namespace

void RecipeFields::show_groups() {
  const Model& model = *workspace_.model();
  const std::vector<int> layers = selection_scope_ ? workspace_.selectedLayers() : std::vector<int>{};
  const auto groups = possible_groups(model, layers);
  group_->clear();
  for (const std::size_t group : groups) group_->addItem(group == 0 ? tr("row") : QString::number(group), qulonglong(group));
  act_group_->clear();
  for (const std::size_t group : possible_groups(model, {}))
    act_group_->addItem(group == 0 ? tr("token") : tr("group of %1").arg(group), qulonglong(group));
  kv_group_->clear();
  kv_group_->addItem(tr("head"), qulonglong(0));
  for (std::size_t group = model.config().head_dim / 2; group >= 8 && model.config().head_dim % group == 0; group /= 2)
    kv_group_->addItem(tr("group of %1").arg(group), qulonglong(group));
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
    shown.damping_toward = draft.damping_toward;
    shown.gptq_damping = draft.gptq_damping;
  }
  setEnabled(!selection_scope_ || !first);
  method_->setCurrentIndex(one_method ? method_->findData(QByteArray::fromStdString(shown.method)) : -1);
  const bool is_lrc = shown.method == "lrc" || !one_method;
  passes_->setValue(shown.iterations);
  passes_->setEnabled(is_lrc);
  refine_->setValue(draft.refine);
  steps_->setValue(draft.steps);
  square_->setValue(int(draft.square));
  const bool is_lsi = shown.method == "lsi" || !one_method;
  for (QSpinBox* box : {steps_, square_}) box->parentWidget()->setVisible(is_lsi && !selection_scope_);
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

  show_cache();

  const auto& rotation = draft.rotation;
  r1_->setChecked(rotation.r1);
  r2_->setChecked(rotation.r2);
  r3_->setChecked(rotation.r3);
  r4_->setChecked(rotation.r4);
  seed_->setValue(int(rotation.seed));
  Recipe all = draft;
  all.rotation = {true, true, true, rotation.seed, true, rotation.file, rotation.high_share};
  const auto possible = fitted_to(all, model).rotation;
  r1_->setEnabled(possible.r1 || rotation.r1);
  r2_->setEnabled(possible.r2 || rotation.r2);
  r3_->setEnabled(possible.r3 || rotation.r3);
  r4_->setEnabled(possible.r4 || rotation.r4);
  rotation_note_->setText(rotation.r4         ? tr("R4 runs online: not for llama.cpp")
                          : !possible.r4      ? tr("R4: no Hadamard order for %1").arg(model.config().feed_forward)
                          : rotation.folded() ? tr("folded into the weights")
                          : rotation.r3       ? tr("R3 runs online, for the cache")
                                              : tr("no rotation"));

  show_transforms();
  for (const auto& show : show_choices_) show();

  range_finder_->setCurrentIndex(range_finder_->findData(int(draft.range_finder)));
  rank_rule_->setCurrentIndex(rank_rule_->findData(int(draft.rank_rule)));
  const bool has_rank = !one_method || find_method(shown.method).uses_rank;
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
    // The lowest and the highest rank of each role, over all blocks.
    std::vector<std::string_view> order;
    std::map<std::string_view, std::pair<std::size_t, std::size_t>> range_of;
    for (std::size_t i = 0; i < schemes.size(); ++i) {
      if (!schemes[i]) continue;
      const auto [found, fresh] = range_of.try_emplace(short_name(model.layers()[i].role), schemes[i]->rank, schemes[i]->rank);
      if (fresh) order.push_back(found->first);
      auto& [low, high] = found->second;
      low = std::min(low, schemes[i]->rank);
      high = std::max(high, schemes[i]->rank);
    }
    std::map<std::pair<std::size_t, std::size_t>, QStringList, std::greater<>> by_rank;
    for (const auto role : order) by_rank[range_of.at(role)] << QString::fromUtf8(role.data(), qsizetype(role.size()));
    QStringList parts;
    for (const auto& [ranks, roles] : by_rank)
      parts << QString("%1 %2").arg(roles.join(","), ranks.first == ranks.second ? QString::number(ranks.first)
                                                                                 : QString("%1…%2").arg(ranks.first).arg(ranks.second));
    rank_note_->setText(has_rank ? parts.join("   ") : tr("this method has no branch"));
  }

  text_->setText(draft.calibration.empty() ? tr("WikiText-2, shipped") : QFileInfo(QString::fromStdString(draft.calibration)).fileName());
  text_->setToolTip(QString::fromStdString(draft.calibration));
  tokens_->setValue(int(draft.calibration_tokens));
  context_->setValue(int(draft.calibration_context));
  held_out_->setValue(int(draft.held_out_windows));
  skip_first_->setValue(int(draft.skip_first_positions));
  if (!damping_->hasFocus()) damping_->setText(plain_number(shown.damping));
  damping_toward_->setCurrentIndex(damping_toward_->findData(int(shown.damping_toward)));
  if (!gptq_damping_->hasFocus()) gptq_damping_->setText(plain_number(shown.gptq_damping));

  // Which of the fields the selection has for itself.
  for (const auto& row : rows_) {
    bool overridden = false;
    if (selection_scope_ && row->overridden)
      for (const int layer : layers)
        if (const auto own = own_settings(draft, model.layers()[std::size_t(layer)].name)) overridden |= row->overridden(*own);
    row->mark->setOn(overridden);
    row->reset->setVisible(overridden);
    QFont label = font();
    label.setBold(overridden);
    row->label->setFont(label);
    row->label->setForegroundRole(selection_scope_ && !overridden ? dim_role : QPalette::NoRole);
  }
}

void RecipeFields::show_summaries() {
  const Recipe& draft = workspace_.draft();
  QStringList solver;
  if (draft.method == "lrc") {
    if (draft.deflate) solver << tr("deflated");
    solver << (draft.iterations == 1 ? tr("1 pass") : tr("%1 passes").arg(draft.iterations));
  }
  if (draft.refine > 0) solver << tr("refined %1").arg(draft.refine);
  if (find_method(draft.method).corrects_base) solver << QString::fromStdString(draft.base).toUpper();
  if (draft.act_order) solver << tr("largest first");
  if (draft.polish) solver << tr("polished");
  if (draft.layers != "*") solver << QString::fromStdString(draft.layers);
  solver_section_->setSummary(solver.isEmpty() ? tr("as usual") : solver.join(QStringLiteral(" · ")));
  const auto format = [](NumberFormat of, bool symmetric) {
    const std::string_view text = name(of);
    return QString::fromUtf8(text.data(), qsizetype(text.size())) + (symmetric ? QString() : tr(" with zeros"));
  };
  formats_section_->setSummary(
      tr("W %1 · A %2")
          .arg(format(draft.weight.format, draft.weight.symmetric), format(draft.activation.format, draft.activation.symmetric)));
  weights_section_->setSummary(tr("%1-bit · %2 · %3")
                                   .arg(draft.weight.bits)
                                   .arg(draft.weight.group_size == 0 ? tr("row") : QString("g%1").arg(draft.weight.group_size))
                                   .arg(draft.weight.clip == WeightClip::search ? tr("clip search")
                                        : draft.weight.clip == WeightClip::awq  ? tr("AWQ clips")
                                                                                : tr("no clip")));
  activations_section_->setSummary(draft.activation.off()
                                       ? tr("16-bit")
                                       : tr("%1-bit · clip %2").arg(draft.activation.bits).arg(double(draft.activation.clip), 0, 'f', 2));
  QStringList rotations;
  if (draft.rotation.r1) rotations << "R1";
  if (draft.rotation.r2) rotations << "R2";
  if (draft.rotation.r3) rotations << "R3";
  if (draft.rotation.r4) rotations << "R4";
  QString rotation = rotations.isEmpty() ? tr("none") : rotations.join(" ") + tr(", seed %1").arg(draft.rotation.seed);
  if (draft.rotation.any() && !draft.rotation.file.empty()) rotation = rotations.join(" ") + ", " + rotation_file_->text();
  if (draft.rotation.high_share > 0)
    rotation += tr(", %1 % in %2 bits").arg(plain_number(100 * draft.rotation.high_share)).arg(draft.high_bits);
  if (draft.smoothing != Smoothing::none) rotation += ", " + smoothing_->currentText();
  rotation_section_->setSummary(rotation);
  correction_section_->setSummary(
      find_method(draft.method).uses_rank
          ? tr("rank %1, %2").arg(QString::fromStdString(to_string(draft.rank)), QString::fromStdString(to_string(draft.factors)))
          : tr("no branch"));
  rules_section_->setSummary(rules_->summary());
  budget_section_->setSummary(budget_->summary());
  QString calibration = tr("%1, %2 tokens").arg(text_->text(), format_count(draft.calibration_tokens));
  if (draft.skip_first_positions == 1) calibration += tr(", without position 0");
  if (draft.skip_first_positions > 1) calibration += tr(", without the first %1 positions").arg(draft.skip_first_positions);
  calibration_section_->setSummary(calibration);
}

}  // namespace lrc::app
