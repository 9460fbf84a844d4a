#include "models/layer_filter.h"

#include <QObject>
#include <QRegularExpression>
#include <QStringList>
#include <cmath>
#include <vector>

#include "model/architecture.h"

namespace lrc::app {

namespace {

using Predicate = std::function<bool(const LayerFacts&)>;

/// All roles of all families, short.
const QStringList& role_names() {
  static const QStringList names = [] {
    QStringList list;
    for (std::size_t role = 0; role < role_count; ++role) {
      const auto name = lrc::short_name(Role(role));
      list << QString::fromUtf8(name.data(), qsizetype(name.size()));
    }
    return list;
  }();
  return names;
}

struct Fault {
  QString sentence;
  int column;
};

/// Recursive descent over  or := and ('|' and)* ;  and := not+ ;  not := '!' not | term.
class Parser {
 public:
  explicit Parser(const QString& text) : text_(text) {}

  Predicate parse() {
    Predicate result = parse_or();
    if (at_ < text_.size()) throw Fault{QObject::tr("“%1” is not expected here").arg(text_[at_]), int(at_) + 1};
    return result;
  }

 private:
  void skip_spaces() {
    while (at_ < text_.size() && text_[at_].isSpace()) ++at_;
  }

  Predicate parse_or() {
    Predicate left = parse_and();
    for (skip_spaces(); at_ < text_.size() && text_[at_] == '|'; skip_spaces()) {
      ++at_;
      Predicate right = parse_and();
      left = [left, right](const LayerFacts& layer) { return left(layer) || right(layer); };
    }
    return left;
  }

  Predicate parse_and() {
    Predicate result;
    for (;;) {
      skip_spaces();
      if (at_ >= text_.size() || text_[at_] == '|') break;
      Predicate next = parse_not();
      result = result ? Predicate([result, next](const LayerFacts& layer) { return result(layer) && next(layer); }) : next;
    }
    if (!result) throw Fault{QObject::tr("something to look for is missing"), int(at_) + 1};
    return result;
  }

  Predicate parse_not() {
    if (text_[at_] != '!') return parse_term();
    ++at_;
    skip_spaces();
    if (at_ >= text_.size()) throw Fault{QObject::tr("“!” has nothing after it"), int(at_)};
    Predicate inner = parse_not();
    return [inner](const LayerFacts& layer) { return !inner(layer); };
  }

  Predicate parse_term() {
    if (text_[at_] == '/') return parse_regex();
    const qsizetype start = at_;
    while (at_ < text_.size() && (text_[at_].isLetterOrNumber() || text_[at_] == '_' || text_[at_] == '.' || text_[at_] == '*')) ++at_;
    const QString word = text_.mid(start, at_ - start);
    if (word.isEmpty()) throw Fault{QObject::tr("“%1” is not expected here").arg(text_[at_]), int(at_) + 1};
    if (at_ < text_.size() && text_[at_] == ':') return parse_field(word, start);
    const qsizetype after_word = at_;
    skip_spaces();
    if (at_ < text_.size() && (text_[at_] == '<' || text_[at_] == '>' || text_[at_] == '=')) return parse_comparison(word, start);
    at_ = after_word;
    return [word](const LayerFacts& layer) {
      return layer.name.contains(word, Qt::CaseInsensitive) || layer.short_name.contains(word, Qt::CaseInsensitive);
    };
  }

  Predicate parse_regex() {
    const qsizetype start = at_++;
    const qsizetype end = text_.indexOf('/', at_);
    if (end < 0) throw Fault{QObject::tr("the expression has no closing “/”"), int(start) + 1};
    const QRegularExpression expression(text_.mid(at_, end - at_), QRegularExpression::CaseInsensitiveOption);
    if (!expression.isValid()) throw Fault{expression.errorString(), int(at_ + expression.patternErrorOffset()) + 1};
    at_ = end + 1;
    return [expression](const LayerFacts& layer) {
      return expression.match(layer.name).hasMatch() || expression.match(layer.short_name).hasMatch();
    };
  }

  Predicate parse_field(const QString& field, qsizetype start) {
    ++at_;
    const qsizetype value_start = at_;
    while (at_ < text_.size() && !text_[at_].isSpace() && text_[at_] != '|') ++at_;
    const QString value = text_.mid(value_start, at_ - value_start);
    if (value.isEmpty()) throw Fault{QObject::tr("“%1:” has nothing after it").arg(field), int(value_start)};
    if (field == "role") {
      const QStringList roles = value.split(',', Qt::SkipEmptyParts);
      for (const QString& role : roles) {
        const QStringList& known = role_names();
        if (!known.contains(role) && !(role.endsWith("_proj") && known.contains(role.chopped(5))))
          throw Fault{QObject::tr("no role “%1”; there are %2").arg(role, known.join(", ")), int(value_start) + 1};
      }
      return [roles](const LayerFacts& layer) { return roles.contains(layer.role) || roles.contains(short_role(layer.role)); };
    }
    if (field == "block") {
      std::vector<std::pair<int, int>> ranges;
      for (const QString& part : value.split(',', Qt::SkipEmptyParts)) {
        bool ok_from = false, ok_to = false;
        const int from = part.section('-', 0, 0).toInt(&ok_from);
        const int to = part.contains('-') ? part.section('-', 1).toInt(&ok_to) : from;
        if (!ok_from || (part.contains('-') && !ok_to))
          throw Fault{QObject::tr("“%1” is no block or range such as 0-3").arg(part), int(value_start) + 1};
        ranges.emplace_back(from, to);
      }
      return [ranges](const LayerFacts& layer) {
        for (const auto& [from, to] : ranges)
          if (layer.block >= from && layer.block <= to) return true;
        return false;
      };
    }
    if (field == "is") {
      if (value == "override") return [](const LayerFacts& layer) { return layer.has_override; };
      if (value == "pending") return [](const LayerFacts& layer) { return layer.pending; };
      throw Fault{QObject::tr("“is:” takes override or pending"), int(value_start) + 1};
    }
    if (field == "has") {
      if (value == "note") return [](const LayerFacts& layer) { return layer.has_note; };
      throw Fault{QObject::tr("“has:” takes note"), int(value_start) + 1};
    }
    throw Fault{QObject::tr("no field “%1:”; there are role, block, is, has").arg(field), int(start) + 1};
  }

  Predicate parse_comparison(const QString& field, qsizetype start) {
    double LayerFacts::*member = nullptr;
    const QString lower = field.toLower();
    if (lower == "erra") member = &LayerFacts::error_a;
    if (lower == "errb") member = &LayerFacts::error_b;
    if (lower == "heldout") member = &LayerFacts::held_out;
    if (lower == "reduction") member = &LayerFacts::reduction;
    if (lower == "rank") member = &LayerFacts::rank;
    if (lower == "bits") member = &LayerFacts::bits;
    if (lower == "size" || lower == "bpw") member = &LayerFacts::size;
    if (lower == "share") member = &LayerFacts::share;
    if (lower == "weights") member = &LayerFacts::weights_only;
    if (lower == "activations") member = &LayerFacts::activations_only;
    const bool is_block = lower == "block";
    if (!member && !is_block)
      throw Fault{
          QObject::tr("no number “%1”; there are errA, errB, heldout, reduction, share, weights, activations, rank, bits, size, block")
              .arg(field),
          int(start) + 1};
    const QChar first = text_[at_++];
    const bool or_equal = at_ < text_.size() && text_[at_] == '=';
    if (or_equal) ++at_;
    skip_spaces();
    const qsizetype value_start = at_;
    while (at_ < text_.size() && (text_[at_].isDigit() || text_[at_] == '.' || text_[at_] == '-')) ++at_;
    bool ok = false;
    const double value = text_.mid(value_start, at_ - value_start).toDouble(&ok);
    if (!ok) throw Fault{QObject::tr("a number is missing after “%1%2”").arg(field, first), int(value_start) + 1};
    return [=](const LayerFacts& layer) {
      const double fact = is_block ? layer.block : layer.*member;
      if (std::isnan(fact)) return false;
      if (first == '<') return or_equal ? fact <= value : fact < value;
      if (first == '>') return or_equal ? fact >= value : fact > value;
      return std::abs(fact - value) < 1e-9;
    };
  }

  const QString& text_;
  qsizetype at_ = 0;
};

}  // namespace

QString short_role(const QString& role) { return role.endsWith("_proj") ? role.chopped(5) : role; }

LayerFilter LayerFilter::parse(const QString& text) {
  LayerFilter filter;
  if (text.trimmed().isEmpty()) return filter;
  try {
    filter.predicate_ = Parser(text).parse();
  } catch (const Fault& fault) {
    filter.problem_ = fault.sentence;
    filter.column_ = fault.column;
  }
  return filter;
}

}  // namespace lrc::app
