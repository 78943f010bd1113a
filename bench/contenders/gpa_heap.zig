// Zig's std.heap.GeneralPurposeAllocator behind four C functions, for the contenders zig_gpa and zig_gpa_stacks.
//
// Compiled with -O ReleaseSafe, where its safety is on and its stacks are off unless asked for; `stacks` asks for the
// 6 frames that its debug builds keep. It takes its pages from Zig's page_allocator, as it does by default.
const std = @import("std");

const WithStacks = std.heap.GeneralPurposeAllocator(.{ .safety = true, .stack_trace_frames = 6 });
const Without = std.heap.GeneralPurposeAllocator(.{ .safety = true, .stack_trace_frames = 0 });

fn allocatorOf(heap: *anyopaque, stacks: bool) std.mem.Allocator {
    if (stacks) {
        const with: *WithStacks = @ptrCast(@alignCast(heap));
        return with.allocator();
    }
    const without: *Without = @ptrCast(@alignCast(heap));
    return without.allocator();
}

export fn zig_gpa_make(stacks: bool) ?*anyopaque {
    if (stacks) {
        const with = std.heap.page_allocator.create(WithStacks) catch return null;
        with.* = .{};
        return with;
    }
    const without = std.heap.page_allocator.create(Without) catch return null;
    without.* = .{};
    return without;
}

export fn zig_gpa_drop(heap: *anyopaque, stacks: bool) void {
    if (stacks) {
        const with: *WithStacks = @ptrCast(@alignCast(heap));
        _ = with.deinit();
        std.heap.page_allocator.destroy(with);
    } else {
        const without: *Without = @ptrCast(@alignCast(heap));
        _ = without.deinit();
        std.heap.page_allocator.destroy(without);
    }
}

export fn zig_gpa_allocate(heap: *anyopaque, stacks: bool, bytes: usize, log2_alignment: u8) ?[*]u8 {
    return allocatorOf(heap, stacks).rawAlloc(bytes, @intCast(log2_alignment), @returnAddress());
}

export fn zig_gpa_free(heap: *anyopaque, stacks: bool, p: [*]u8, bytes: usize, log2_alignment: u8) void {
    allocatorOf(heap, stacks).rawFree(p[0..bytes], @intCast(log2_alignment), @returnAddress());
}
