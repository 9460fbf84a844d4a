#pragma once
// The filter line of the layer table: words, role:q,k  block:0-3  errB>2  rank=0  bits<5  is:override  is:pending  has:note  /regex/;
// space means and, | or, ! not.
#include <QString>
#include <functional>
#include <memory>
#include <optional>

namespace lrc::app {

/// What a filter can ask of a layer. Errors in per cent; NaN where nothing is known (every comparison is then false).
struct LayerFacts {
  QString name, short_name, role;  ///< "model.layers.12.mlp.down_proj", "12.down_proj", "down_proj"
  int block = 0;
  double error_a = 0, error_b = 0, held_out = 0, reduction = 0, rank = 0, bits = 0, size = 0;
  double share = 0, weights_only = 0, activations_only = 0;  ///< per cent
  bool has_override = false, pending = false, has_note = false;
};

/// "down_proj" → "down"; names without that ending stay.
QString short_role(const QString& role);

class LayerFilter {
 public:
  /// An empty text matches everything.
  static LayerFilter parse(const QString& text);
  bool valid() const { return problem_.isEmpty(); }
  const QString& problem() const { return problem_; }  ///< one sentence
  int problem_column() const { return column_; }       ///< from 1
  bool matches(const LayerFacts& layer) const { return !predicate_ || predicate_(layer); }

 private:
  std::function<bool(const LayerFacts&)> predicate_;
  QString problem_;
  int column_ = 0;
};

}  // namespace lrc::app
