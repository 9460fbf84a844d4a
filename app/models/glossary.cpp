#include "models/glossary.h"

#include <QObject>
#include <algorithm>

namespace lrc::app {

const std::vector<GlossaryEntry>& glossary() {
  static const std::vector<GlossaryEntry> entries = [] {
    const auto tr = [](const char* text) { return QObject::tr(text); };
    std::vector<GlossaryEntry> list = {
        {tr("Error of a layer"), tr("How much of the energy of a layer’s output is lost over the calibration tokens."),
         QStringLiteral("‖WX − Ŵ Q(X) − U Vᵀ X‖² ÷ ‖WX‖²")},
        {tr("Regularised loss"),
         tr("The error plus the damping of both moments; it is what a solve minimises and what the bound certifies."),
         QStringLiteral("loss + ε_x ‖W − UVᵀ‖² + ε_y ‖Ŵ‖²")},
        {tr("Lower bound"), tr("No codes and no branch of that rank have a regularised loss below it."),
         QStringLiteral("Σ_{i > k} λ_i(W S_{x|y} Wᵀ)")},
        {tr("Same codes"),
         tr("The regularised loss when the codes of B stay and only the branch is refitted at another rank; exact, no solve."),
         QStringLiteral("Σ_{i > k} λ_i(M S_x Mᵀ)")},
        {tr("Predicted"),
         tr("What a new solve at that rank is expected to reach: the bound times the factor by which solves of this role missed "
            "it. An estimate; a run replaces it."),
         QStringLiteral("bound(k) × median(achieved ÷ bound)")},
        {tr("Whitened error"),
         tr("The part of the output that quantized activations cannot carry, seen through the calibration text; a branch "
            "removes its largest directions first."),
         QStringLiteral("W S_{x|y} Wᵀ,  S_{x|y} = S_x − S_xy S_y⁻¹ S_yx")},
        {tr("Rank"), tr("Width of the low-rank branch: more rank, less error, more bytes, slower decoding."),
         QStringLiteral("U (out × k), V (in × k)")},
        {tr("Bits per weight"), tr("All that is stored for the linear layers, codes, scales and factors, divided by their weights."),
         QStringLiteral("(codes + scales + factors) ÷ weights")},
        {tr("Group"), tr("Weights along a row that share one scale; smaller groups cost more scales and round less."), {}},
        {tr("Clip"), tr("The largest magnitude times this is the top of the grid; lower makes finer steps and cuts outliers."), {}},
        {tr("Retargeting"),
         tr("Codes are chosen for what the quantized activations should give, not for the weight itself; a branch of rank 0 "
            "still has it."),
         QStringLiteral("W̃ = (W − UVᵀ) S_xy S_y⁻¹")},
        {tr("Deflated"), tr("Codes are updated only on what the branch cannot reach."), {}},
        {tr("Passes"), tr("How often codes and branch are updated in turn; the best iterate is kept."), QStringLiteral("T of LRC(T)")},
        {tr("Damping"), tr("A share of the mean diagonal added to the second moments, so that they can be inverted."),
         QStringLiteral("S + ε I,  ε = damping × mean diagonal")},
        {tr("R1, R2, R4"),
         tr("Rotations that spread outliers: R1 of the residual stream and R2 of each head are folded into the weights, R4 of "
            "down_proj’s input runs online."),
         {}},
        {tr("KL"), tr("How far the model’s distribution of the next token is from the original’s, on the test text."),
         QStringLiteral("Σ p_original log(p_original ÷ p)")},
        {tr("Perplexity"), tr("How surprised the model is by the test text, per token; lower is better."),
         QStringLiteral("exp(− mean log p(token))")},
        {tr("Held-out error"),
         tr("The error of a layer on tokens that it was not calibrated on; far above the other means too little text."),
         {}},
        {tr("W4A4"), tr("Four bits for weights, four for activations; the branch reads the activation before it is quantized."), {}},
        {tr("Calibration"), tr("Text that is run through the model to learn what its layers see; only its second moments are kept."),
         QStringLiteral("S_x = X Xᵀ, S_y = Y Yᵀ, S_xy = X Yᵀ")},
        {tr("GPTQ"), tr("Rounds weight columns one by one and corrects the later ones for the error made."), {}},
        {tr("RTN"), tr("Rounds each weight to the nearest step."), {}},
        {tr("LRC"), tr("Codes and a low-rank branch on the unquantized activation, solved together."),
         QStringLiteral("WX ≈ Ŵ Q(X) + U Vᵀ X")},
    };
    return list;
  }();
  return entries;
}

const GlossaryEntry* find_term(const QString& term) {
  const auto& all = glossary();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const GlossaryEntry& entry) { return entry.term.compare(term, Qt::CaseInsensitive) == 0; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace lrc::app
