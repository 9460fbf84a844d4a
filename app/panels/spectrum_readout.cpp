// What stands below the plots: the cells of one layer, a row for each of several; the same numbers as a table.
#include "models/draft_edits.h"
#include "models/layer_lab.h"
#include "models/run_facts.h"
#include "models/spectrum_curves.h"
#include "panels/spectrum_panel.h"
#include "plot_style.h"

namespace lrc::app {

namespace {

QString per_cent(double relative) { return format_error(relative) + QStringLiteral(" %"); }

}  // namespace

void SpectrumPanel::update(int rank) {
  plots_->moveTo(rank);
  rank = plots_->cursor()->rank();
  // Some layers' curves may still be on their way.
  if (shown_.empty() || std::any_of(shown_.begin(), shown_.end(), [](const ShownLayer& shown) { return !shown.spectrum; })) return;
  const ShownLayer& first = shown_.front();
  const LayerSpectrum& s = *first.spectrum;
  if (shown_.size() > 1) return updateRows(rank);
  const LayerInfo& layer = info(first.layer);
  const std::size_t r = std::size_t(rank);
  const QString dash = QStringLiteral("–");
  readout_->setValue(cell_rank_, QString("%1 (%2 %)").arg(rank).arg(qRound(100.0 * rank / std::max(1, plots_->cursor()->maximum()))),
                     tr("%1 % of min(in, out)").arg(100.0 * rank / std::max(1, plots_->cursor()->maximum()), 0, 'f', 2));
  auto bound = value_at(s.lower_bound_by_rank, r), same = value_at(s.same_codes_by_rank, r), captured = captured_share(s, r);
  // Curves of other activations bound nothing of this draft.
  if (otherwise_drawn_) bound = same = captured = std::nullopt;
  const double predicted = first.prediction ? predicted_at(s, first.prediction->factor, r).value_or(std::nan("")) : std::nan("");
  const bool is_predicted = !std::isnan(predicted);
  std::optional<double> solved;  // by B at this rank, or alone
  if (s.achieved_rank && *s.achieved_rank == r && s.achieved_loss_regularized) solved = *s.achieved_loss_regularized;
  for (const SolvedAlone* each : LayerLab::of(workspace_).solvedAtRanks(first.layer))
    if (each->scheme.rank == r) solved = each->record.loss_regularized;
  readout_->setName(cell_predicted_, solved ? tr("solved") : tr("predicted"));
  readout_->setItalic(cell_predicted_, !solved);
  readout_->setValue(
      cell_predicted_,
      solved         ? per_cent(*solved)
      : is_predicted ? QStringLiteral("≈ ") + per_cent(predicted)
                     : dash,
      solved         ? tr("Solved, regularised loss: %1 %").arg(100 * *solved, 0, 'g', 12)
      : is_predicted ? tr("Predicted: the bound times %1, the factor by which B missed it here; over this role %2 … %3. A run replaces it.")
                           .arg(first.prediction->factor, 0, 'f', 2)
                           .arg(first.prediction->low, 0, 'f', 2)
                           .arg(first.prediction->high, 0, 'f', 2)
                     : tr("Not known: B has not solved this layer with the draft’s other settings."));
  readout_->setValue(cell_bound_, bound ? QStringLiteral("≥ ") + per_cent(*bound) : dash,
                     bound ? tr("Bound, regularised loss: %1 %").arg(100 * *bound, 0, 'g', 12) : QString());
  readout_->setValue(cell_same_, same ? per_cent(*same) : dash,
                     same ? tr("Exact, regularised loss with B's codes: %1 %").arg(100 * *same, 0, 'g', 12) : QString());
  readout_->setValue(cell_captured_, captured ? QString("%1 %").arg(qRound(100 * *captured)) : dash);
  readout_->setValue(cell_cost_,
                     QString("+%1 b/w").arg(format_bits(factor_bits_per_weight(first.scheme, layer.out_features, layer.in_features, r))));
  readout_->setValue(cell_adds_,
                     QString("%1 MB").arg(factor_bytes(first.scheme, layer.out_features, layer.in_features, r) / 1e6, 0, 'f', 2));
  plots_->lower()->setAccessibleDescription(tr("Error against rank for %1: rank %2, bound %3, same codes %4")
                                                .arg(title(first.layer))
                                                .arg(rank)
                                                .arg(bound ? per_cent(*bound) : dash, same ? per_cent(*same) : dash) +
                                            (is_predicted && !solved ? tr(", predicted %1").arg(per_cent(predicted)) : QString()));
}

void SpectrumPanel::updateRows(int rank) {
  clear_layout(*rows_grid_);
  const QStringList headers = {tr("layer"), tr("rank"), tr("error of B"), tr("bound"), tr("same codes"), tr("cost"), tr("adds")};
  const auto put = [&](int row, int column, const QString& text, bool dim, const QColor& colour = {}) {
    auto* label = dim ? make_dim_label(text, rows_) : new QLabel(text, rows_);
    label->setFont(font_of_points(font(), 8, !dim && column == 0));
    if (colour.isValid()) {
      QPalette palette = label->palette();
      palette.setColor(QPalette::WindowText, colour);
      label->setPalette(palette);
    }
    rows_grid_->addWidget(label, row, column, column == 0 ? Qt::AlignLeft : Qt::AlignRight);
  };
  for (int column = 0; column < headers.size(); ++column) put(0, column, headers[column], true);
  std::vector<std::size_t> order(shown_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const RunEntry* b = run_in(workspace_, workspace_.slotB());
  const auto error_of = [&](std::size_t i) {
    const LayerRecord* record = record_of(b, info(shown_[i].layer).name);
    return record ? record->loss_regularized : -1.0;
  };
  if (shown_.size() > most_single_curves) {  // the worst three by name
    std::sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) { return error_of(x) > error_of(y); });
    order.resize(3);
  }
  const QString dash = QStringLiteral("–");
  for (int row = 0; row < int(order.size()); ++row) {
    const ShownLayer& shown = shown_[order[std::size_t(row)]];
    const LayerInfo& layer = info(shown.layer);
    const bool follows = pinned_.empty();
    const std::size_t r = follows && row == 0 && shown_.size() <= most_single_curves ? std::size_t(rank) : shown.scheme.rank;
    const LayerRecord* record = record_of(b, layer.name);
    const auto bound = value_at(shown.spectrum->lower_bound_by_rank, r), same = value_at(shown.spectrum->same_codes_by_rank, r);
    put(row + 1, 0, title(shown.layer), false,
        shown_.size() > most_single_curves ? QColor() : overlay_pen(order[std::size_t(row)]).color());
    put(row + 1, 1, record && record->rank != r ? QString("%1 → %2").arg(record->rank).arg(r) : QString::number(r), false);
    put(row + 1, 2, record ? per_cent(record->loss_regularized) : dash, false);
    put(row + 1, 3, bound ? QStringLiteral("≥ ") + per_cent(*bound) : dash, false);
    put(row + 1, 4, same ? per_cent(*same) : dash, false);
    put(row + 1, 5, QString("+%1 b/w").arg(format_bits(factor_bits_per_weight(shown.scheme, layer.out_features, layer.in_features, r))),
        false);
    put(row + 1, 6, QString("%1 MB").arg(factor_bytes(shown.scheme, layer.out_features, layer.in_features, r) / 1e6, 0, 'f', 2), false);
  }
}

QString SpectrumPanel::hoverText(const QPoint& pixel) const {
  if (shown_.size() != 1 || !shown_.front().spectrum) return {};
  const LayerSpectrum& s = *shown_.front().spectrum;
  const double x = plots_->lower()->xAxis->pixelToCoord(pixel.x());
  if (x < 0 || x > plots_->cursor()->maximum()) return {};
  const std::size_t rank = std::size_t(std::lround(x));
  QStringList lines = {tr("rank %1").arg(rank)};
  if (rank > 0 && rank <= s.whitened_error.size()) lines << tr("λ %1 % of ‖WX‖²").arg(100 * s.whitened_error[rank - 1], 0, 'g', 3);
  if (const auto share = captured_share(s, rank)) lines << tr("captured %1 %").arg(100 * *share, 0, 'f', 1);
  if (const auto bound = value_at(s.lower_bound_by_rank, rank)) lines << tr("bound ≥ %1 %").arg(format_error(*bound));
  if (const auto same = value_at(s.same_codes_by_rank, rank)) lines << tr("same codes %1 % (exact)").arg(format_error(*same));
  return lines.join('\n');
}

DataTable SpectrumPanel::dataTable() const {
  DataTable table;
  table.headers << tr("rank") << tr("cost, b/w");
  std::size_t length = 0;
  for (const ShownLayer& shown : shown_) {
    if (!shown.spectrum) continue;
    const QString name = shown_.size() > 1 ? ' ' + title(shown.layer) : QString();
    table.headers << tr("λ, % of ‖WX‖²") + name << tr("lower bound, %") + name << tr("same codes, %") + name << tr("σ of W") + name
                  << tr("σ of W − Ŵ") + name;
    length = std::max({length, shown.spectrum->lower_bound_by_rank.size(), shown.spectrum->weight.size() + 1});
  }
  for (std::size_t rank = 0; rank < length; ++rank) {
    QVariantList row = {int(rank), plots_->costPerRank() * double(rank)};
    const auto number = [](std::optional<double> value, double factor) { return value ? QVariant(*value * factor) : QVariant(); };
    const auto of_index = [&](const std::vector<double>& values) {
      return rank == 0 ? std::optional<double>() : value_at(values, rank - 1);
    };
    for (const ShownLayer& shown : shown_) {
      if (!shown.spectrum) continue;
      const LayerSpectrum& s = *shown.spectrum;
      row << number(of_index(s.whitened_error), 100) << number(value_at(s.lower_bound_by_rank, rank), 100)
          << number(value_at(s.same_codes_by_rank, rank), 100) << number(of_index(s.weight), 1) << number(of_index(s.weight_error), 1);
    }
    table.rows.push_back(row);
  }
  return table;
}

}  // namespace lrc::app
