-- SPDX-License-Identifier: BSD-2-Clause
-- snoopkit.lua - what snoopkit's tools say of a packet (-w FILE) as fields that Wireshark and tshark can filter by:
--   tshark -X lua_script:snoopkit.lua -r FILE -Y 'snoopkit.pid == 123 && snoopkit.tls == "openssl"'
-- Installed into ~/.local/lib/wireshark/plugins/ it is loaded by itself. It reads the packet comment that starts with
-- "snoopkit:", key=value pairs separated by spaces; %20 and the like stand for bytes that are no part of a word.

local proto = Proto("snoopkit", "snoopkit annotation")
local comment = Field.new("frame.comment")

local fields = {
	conn = ProtoField.uint64("snoopkit.conn", "Connection", base.DEC, nil, nil, "number of the connection in the run"),
	nth = ProtoField.uint64("snoopkit.nth", "Exchange", base.DEC, nil, nil, "number of the exchange on its connection"),
	pid = ProtoField.uint32("snoopkit.pid", "Process", base.DEC, nil, nil, "process that moved the bytes"),
	tid = ProtoField.uint32("snoopkit.tid", "Thread", base.DEC, nil, nil, "thread that moved the bytes"),
	comm = ProtoField.string("snoopkit.comm", "Command"),
	container = ProtoField.string("snoopkit.container", "Container"),
	tls = ProtoField.string("snoopkit.tls", "TLS library"),
	func = ProtoField.string("snoopkit.func", "TLS function"),
	attribution = ProtoField.string("snoopkit.attribution", "Attribution",
		"how the TLS session was matched to its socket"),
	role = ProtoField.string("snoopkit.role", "Role"),
	local_end = ProtoField.string("snoopkit.local", "Own address"),
	remote_end = ProtoField.string("snoopkit.remote", "Peer's address"),
	gap = ProtoField.uint64("snoopkit.gap", "Missing bytes", base.DEC),
	why = ProtoField.string("snoopkit.why", "Why they are missing"),
	kind = ProtoField.string("snoopkit.kind", "Kind of record"),
	version = ProtoField.string("snoopkit.version", "TLS version"),
	cipher = ProtoField.string("snoopkit.cipher", "Cipher suite"),
	sni = ProtoField.string("snoopkit.sni", "Server name"),
	alpn = ProtoField.string("snoopkit.alpn", "Application protocol"),
	alert = ProtoField.string("snoopkit.alert", "Alert"),
	event = ProtoField.string("snoopkit.event", "Event"),
	side = ProtoField.string("snoopkit.side", "Side of the stall"),
	cause = ProtoField.string("snoopkit.cause", "Cause of the stall"),
	stall_us = ProtoField.uint64("snoopkit.stall_us", "Stall (us)", base.DEC),
	rcv_wnd = ProtoField.uint64("snoopkit.rcv_wnd", "Own window", base.DEC),
	snd_wnd = ProtoField.uint64("snoopkit.snd_wnd", "Peer's window", base.DEC),
	idle_before_us = ProtoField.uint64("snoopkit.idle_before_us", "Idle before (us)", base.DEC),
}
for _, f in pairs(fields) do
	proto.fields[#proto.fields + 1] = f
end

-- Keys that are words of Lua, or end in one.
local alias = { ["local"] = "local_end", remote = "remote_end" }
local numbers = { conn = "uint64", nth = "uint64", pid = "number", tid = "number", gap = "uint64", stall_us = "uint64",
	rcv_wnd = "uint64", snd_wnd = "uint64", idle_before_us = "uint64" }

local function value_of(key, text)
	if numbers[key] == "uint64" then
		return UInt64(text)
	elseif numbers[key] then
		return tonumber(text)
	end
	return (text:gsub("%%(%x%x)", function(hex)
		return string.char(tonumber(hex, 16))
	end))
end

function proto.dissector(_, _, tree)
	for _, c in ipairs({ comment() }) do
		local pairs_text = tostring(c.value):match("^snoopkit:(.*)")
		if pairs_text then
			local branch = tree:add(proto)
			for key, text in pairs_text:gmatch("([%w_]+)=(%S+)") do
				key = alias[key] or key
				if fields[key] and (not numbers[key] or text:match("^%d+$")) then
					branch:add(fields[key], value_of(key, text))
				end
			end
		end
	end
end

register_postdissector(proto)
