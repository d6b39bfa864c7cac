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
	event = ProtoField.string("snoopkit.event", "Event"),
}
for _, f in pairs(fields) do
	proto.fields[#proto.fields + 1] = f
end

local numbers = { conn = "uint64", nth = "uint64", pid = "number", tid = "number" }

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
				if fields[key] and (not numbers[key] or text:match("^%d+$")) then
					branch:add(fields[key], value_of(key, text))
				end
			end
		end
	end
end

register_postdissector(proto)
