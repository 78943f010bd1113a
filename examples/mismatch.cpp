// Freed as something else than it was allocated as: another size, another alignment.
//
// Shows S2-14 and S2-15. A square deleted through its base class is destroyed rightly, the destructor is virtual, but
// its memory is given back with the size of the base: the allocator, not the destructor, has to know the type. A
// wrong free changes nothing, so the right one can still follow.
#include <gpa/resource.hpp>

#include <iostream>
#include <memory_resource>

namespace {

class shape {
 public:
  shape() = default;
  shape(const shape&) = delete;
  shape& operator=(const shape&) = delete;
  virtual ~shape() = default;
  [[nodiscard]] virtual double area() const = 0;
};

class square final : public shape {
 public:
  explicit square(double side) noexcept : side_(side) {}
  [[nodiscard]] double area() const override { return side_ * side_; }

 private:
  double side_;
};

void delete_through_the_base(std::pmr::polymorphic_allocator<> a)
{
  square* const s = a.new_object<square>(3.0);
  shape* const base = s;
  std::cout << "area: " << base->area() << '\n';
  a.delete_object(base);                                   // size mismatch: sizeof(shape) bytes
  a.deallocate_bytes(s, sizeof(square), alignof(square));  // as it should have been
}

void free_with_another_alignment(std::pmr::polymorphic_allocator<> a)
{
  void* const line = a.allocate_bytes(64, 64);
  a.deallocate_bytes(line, 64);  // alignment mismatch: the default is 16 here
  a.deallocate_bytes(line, 64, 64);
}

}  // namespace

int main()
{
  gpa::resource r({.name = "shapes", .after_mistake = gpa::after_mistake::carry_on});
  delete_through_the_base(&r);
  free_with_another_alignment(&r);
  std::cout << "mistakes: " << r.stats().mistakes << ", blocks live: " << r.stats().live_blocks << '\n';
  const gpa::check verdict = r.deinit();
  std::cout << "verdict: " << verdict << '\n';
  return verdict == gpa::check::misuse ? 0 : 1;
}
