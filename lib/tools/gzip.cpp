#include "tools/gzip.hpp"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>

namespace gpa::tools {

std::string gzipped(std::string_view text)
{
  constexpr int gzip_window =
      15 + 16;  // 16 asks for gzip's header; its time stays 0, so equal input gives equal output
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzip_window, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  std::string out;
  std::string piece(std::size_t{1} << 16, '\0');
  // zlib counts in unsigned int.
  constexpr std::size_t most = std::numeric_limits<uInt>::max() / 2;
  int status = Z_OK;
  while (status == Z_OK) {
    if (stream.avail_in == 0 && !text.empty()) {
      const std::size_t count = std::min(text.size(), most);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));  // zlib only reads
      stream.avail_in = static_cast<uInt>(count);
      text.remove_prefix(count);
    }
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    status = deflate(&stream, text.empty() ? Z_FINISH : Z_NO_FLUSH);
    out.append(piece, 0, piece.size() - stream.avail_out);
  }
  deflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::bad_alloc();
  return out;
}

}  // namespace gpa::tools
