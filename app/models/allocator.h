#pragma once
// Ranks (and bits) for a budget: what the Allocator tab and the recipe's Budget section share. Solving the layers takes minutes and has
// a lane of its own, so that looking never waits for it; a budget is then allocated within a moment. One object a workspace, its child.
#include <QObject>
#include <memory>
#include <optional>
#include <vector>

#include "run/allocate.h"
#include "workspace.h"

namespace lrc::app {

class Allocator : public QObject {
  Q_OBJECT
 public:
  static Allocator& of(Workspace& workspace);  ///< made at first use
  ~Allocator() override;

  struct Options {
    int rank_step = 8;
    double most_rank_per_cent = 30;
    bool bits_vary = false, keep_overrides = true, weigh_by_kl = false;
    bool operator==(const Options&) const = default;
  };
  const Options& options() const { return options_; }
  void setOptions(const Options& options);
  double budget() const { return budget_; }  ///< bits per weight
  void setBudget(double bits_per_weight);

  /// Why there is nothing to allocate under the draft, or nothing.
  std::optional<QString> problem() const;
  bool isMeasured() const { return basis_ != nullptr; }  ///< for the draft and options as they are
  std::optional<ProgressUpdate> measuring() const { return measuring_; }
  const QString& failure() const { return failure_; }
  /// Of measure() on this machine; empty until it is worked out, then progress() says so.
  std::optional<double> expectedSeconds();
  void measure();
  void stop();

  /// Of the budget; null before measure() and while the budget is too small.
  const AllocationReport* report() const { return report_ ? &*report_ : nullptr; }
  struct Point {
    double bits_per_weight = 0, allocated = 0;
    std::optional<double> uniform;
  };
  const std::vector<Point>& curve() const { return curve_; }
  double least() const { return basis_ ? basis_->least_bits_per_weight() : 0; }
  double most() const { return basis_ ? basis_->most_bits_per_weight() : 16; }
  /// What it moved, in words.
  QString sentence() const;
  /// The ranks and bits as own settings of their layers, one undo step. Settings that are kept stay as they are.
  void apply();
  void show() { emit shown(); }  ///< asks for the tab

 signals:
  void changed();   ///< report, curve, options or budget
  void progress();  ///< of measure()
  void shown();

 private:
  explicit Allocator(Workspace& workspace);
  /// The draft as the request's recipe: with or without the layers' own settings.
  Recipe constraints() const;
  std::vector<int> widths() const;  ///< of the weights, in bits, that layers are solved with
  double size_of_draft() const;     ///< bits per weight, on the slider's grid
  void followDraft();
  void forget();
  void allocate();

  Workspace& workspace_;
  std::unique_ptr<JobQueue> lane_;
  Options options_;
  double budget_ = 0;
  std::shared_ptr<const Model> model_;  ///< outlives the basis
  std::shared_ptr<const AllocationBasis> basis_;
  std::optional<double> expected_;  ///< seconds
  Recipe expected_for_;
  Options expected_options_;
  Recipe measured_, applied_;  ///< what the basis belongs to, and what apply() made of it; without names
  std::optional<ProgressUpdate> measuring_;
  std::optional<AllocationReport> report_;
  std::vector<Point> curve_;
  QString failure_;
};

}  // namespace lrc::app
